"""The step `train` on planted trips: one registered version whose models are calibrated and better than the route."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eta_prediction.config import SMOKE, EtaConfig
from eta_prediction.design import DESIGN
from eta_prediction.model.artifact import FAMILIES, TRAFFIC, Bundle, load_bundle
from eta_prediction.model.inputs import NAMES, TYPE, column
from eta_prediction.model.quantiles import pinball_rows
from eta_prediction.offline.samples import TRAIN, Sample
from eta_prediction.offline.train import fit_and_register
from infra.build.runner import StepContext
from infra.registry.manifest import MANIFEST
from infra.settings import Settings
from tests.support.eta_planted import planted

NEW_X, NEW_SECONDS, _ = planted(10, seed=1)
POOLED = column(NEW_X, "is_pooled") > 0


def sample_of(days: int) -> Sample:
    x, seconds, day = planted(days)
    empty: dict[str, Any] = dict.fromkeys(Sample.__annotations__, np.zeros(len(x)))
    routes = {"base_s": column(x, "live_s"), "static_s": column(x, "profile_s")}
    return Sample(**(empty | routes | {"x": x, "seconds": seconds, "day": day}))


def trained(root: Path, **model: Any) -> tuple[Bundle, dict[str, Any]]:
    """The bundle and the facts of the step, with some knobs of the model."""
    config: EtaConfig = replace(SMOKE, model=replace(SMOKE.model, hidden=32, epochs=8, calibration_days=3, **model))
    (root / "sample").mkdir()
    sample_of(16).write(root / "sample" / TRAIN)
    out = root / "train"
    out.mkdir()
    settings = Settings(home=root / "home", preset="smoke")
    context = StepContext(DESIGN, settings, config, out, {"sample": root / "sample"}, lambda share, text: None)
    facts = fit_and_register(context)
    registered = json.loads((out / "registered.json").read_text())
    assert registered["version"] == facts["version"]
    return load_bundle(out / "bundle", registered["digest"]), dict(facts)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, dict[str, Any]]:
    return trained(tmp_path_factory.mktemp("train"))


def test_calibrated_models_cover_and_are_better_than_the_corrected_route(usual: tuple[Bundle, dict[str, Any]]) -> None:
    bundle, facts = usual
    assert bundle.best == facts["best"] == min(FAMILIES, key=lambda name: facts[f"{name}_live_pinball_s"])
    for traffic in TRAFFIC:
        route = pinball_rows(NEW_SECONDS, bundle.historical(traffic, NEW_X)).mean()
        for family in FAMILIES:
            found = bundle.quantiles(f"{family}_{traffic}", NEW_X)
            inside = (found[:, 0] < NEW_SECONDS) & (found[:, 2] > NEW_SECONDS)
            assert inside.mean() == pytest.approx(0.8, abs=0.04)
            assert pinball_rows(NEW_SECONDS, found).mean() < 0.99 * route
            rain = column(NEW_X, "rain") > 0
            width = (found[:, 2] - found[:, 0]) / found[:, 1]
            if traffic == "live":
                assert np.median(width[rain]) > 1.4 * np.median(width[~rain]), "rain doubles the noise"


def bias_s(bundle: Bundle, family: str, rows: np.ndarray) -> float:
    return float(np.median((bundle.quantiles(f"{family}_live", NEW_X)[:, 1] - NEW_SECONDS)[rows]))


def test_one_correction_for_all_types_makes_pooled_rides_late(
    usual: tuple[Bundle, dict[str, Any]], tmp_path: Path
) -> None:
    pooled_alike, _ = trained(tmp_path, per_type="no", loss="squared")
    other = NEW_X.copy()
    other[:, [NAMES.index(name) for name in TYPE]] = 1.0
    for family in FAMILIES:
        assert abs(bias_s(usual[0], family, POOLED)) < 25
        assert bias_s(pooled_alike, family, POOLED) < -100
        assert bias_s(pooled_alike, family, ~POOLED) > 20
        one, same = (pooled_alike.quantiles(f"{family}_live", x) for x in (NEW_X, other))
        np.testing.assert_allclose(one, same, rtol=1e-5)
    manifest = json.loads((tmp_path / "train" / "bundle" / MANIFEST).read_text())
    assert manifest["meta"]["loss"] == "squared"
