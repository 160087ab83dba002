"""The gate refuses quantiles that are worse than the corrected route or than the champion, with intervals over days."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from eta_prediction.domain import Array
from eta_prediction.evaluation.gate import comparison_on, fresh_rows
from eta_prediction.model.artifact import ROUTE_OF, load_bundle
from eta_prediction.model.inputs import Floats, column
from eta_prediction.offline.samples import Sample
from infra.evaluation.gate import GateRefused, check_gate
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from tests.support.eta_bundle import write_bundle
from tests.support.eta_planted import planted


class OneModel:
    """A registry whose only version lies in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fetch(self, model: ModelVersion, to: Path) -> Path:
        return self.path


def sample_of(x: Floats, seconds: Array, day: np.ndarray) -> Sample:
    empty: dict[str, Any] = {item.name: np.zeros(len(x)) for item in fields(Sample)}
    return Sample(**(empty | {"x": x, "seconds": seconds, "day": day, "base_s": column(x, ROUTE_OF["live"])}))


def test_the_gate_compares_with_the_corrected_route_and_with_the_champion(tmp_path: Path) -> None:
    digest = write_bundle(tmp_path / "good", rounds=30)
    good = load_bundle(tmp_path / "good")
    holdout = sample_of(*planted(6, seed=3))
    route = good.historical("live", holdout.x)
    comparison = comparison_on(holdout, route)
    found = good.quantiles(f"{good.best}_live", holdout.x, "none")
    registry = cast(MlflowRegistry, OneModel(tmp_path / "good"))
    verdict = check_gate(comparison, found, None, registry, tmp_path)
    assert verdict == "first model, better than the corrected route with the interval of past trips"
    with pytest.raises(GateRefused, match="not better than the corrected route"):
        check_gate(comparison, found * 1.2, None, registry, tmp_path)
    with pytest.raises(GateRefused, match="not better than the corrected route"):
        check_gate(comparison, route, None, registry, tmp_path)
    champion = ModelVersion("eta", 4, digest, {})
    served = good.quantiles(f"{good.best}_live", holdout.x)
    assert "not worse than champion 4" in check_gate(comparison, served, champion, registry, tmp_path)
    narrow = served[:, 1:2] + 0.8 * (served - served[:, 1:2])
    with pytest.raises(GateRefused, match="worse than champion 4: pinball loss"):
        check_gate(comparison, narrow, champion, registry, tmp_path)


def test_days_are_the_sample_size_of_the_gate(tmp_path: Path) -> None:
    """Trips of one day are drawn together: an advantage on one of six days is no sure one."""
    write_bundle(tmp_path / "good")
    holdout = sample_of(*planted(6, seed=3))
    route = load_bundle(tmp_path / "good").historical("live", holdout.x)
    mixed = np.where((holdout.day == 2)[:, None], holdout.seconds[:, None], route * 1.01)
    with pytest.raises(GateRefused):
        check_gate(comparison_on(holdout, route), mixed, None, cast(MlflowRegistry, OneModel(tmp_path)), tmp_path)


def test_fresh_trips_decide_before_the_days_of_the_history(tmp_path: Path) -> None:
    """In the history, the challenger equals the champion. Fresh trips take a third longer, as its quantiles say."""
    digest = write_bundle(tmp_path / "good", rounds=30)
    good = load_bundle(tmp_path / "good")
    holdout = sample_of(*planted(6, seed=3))
    live = holdout.take(np.arange(200))
    replace(live, seconds=live.seconds * 1.33, day=np.full(200, 6)).write(tmp_path / "fresh.npz")
    found = fresh_rows(tmp_path / "fresh.npz", good)
    assert found is not None
    rows, p = found
    comparison, registry = comparison_on(holdout, good.historical("live", holdout.x)), OneModel(tmp_path / "good")
    served, champion = good.quantiles(f"{good.best}_live", holdout.x), ModelVersion("eta", 4, digest, {})

    def verdict(fresh: Array) -> str:
        return check_gate(comparison, served, champion, cast(MlflowRegistry, registry), tmp_path, (rows, fresh))

    assert verdict(p).startswith("not worse than champion 4"), "equal models are no sure difference"
    assert verdict(p * 1.33).startswith("better than champion 4 on 200 fresh trips of the live log")
    with pytest.raises(GateRefused, match="worse than champion 4 on 200 fresh trips of the live log: pinball loss"):
        verdict(p * 0.8)
    assert fresh_rows(tmp_path / "none.npz", good) is None
