"""A bundle loads only what it is, and a service starts with the models that are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eta_prediction.model.artifact import MODELS, Bundle, file_of, load_bundle, load_intact_models
from eta_prediction.model.inputs import LIVE, NAMES
from infra.errors import CorruptArtifact, ModelUnavailable
from infra.registry.manifest import MANIFEST
from tests.support.eta_bundle import OFFSETS, write_bundle
from tests.support.eta_planted import planted

X = planted(2, seed=5)[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def bundle(path: Path) -> Bundle:
    return load_bundle(path)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_ascending_seconds(bundle: Bundle, name: str) -> None:
    for calibration in ("none", *OFFSETS):
        found = bundle.quantiles(name, X, calibration)
        assert found.shape == (len(X), 3)
        assert (np.diff(found, axis=1) >= 0).all()
        assert (found > 0).all()
    widths = [np.ptp(bundle.quantiles(name, X, kind), axis=1).mean() for kind in ("none", *OFFSETS)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_models_without_live_traffic_ignore_it(bundle: Bundle) -> None:
    other = X.copy()
    other[:, [NAMES.index(name) for name in LIVE]] *= 3
    for name in MODELS:
        same = np.array_equal(bundle.quantiles(name, X), bundle.quantiles(name, other))
        assert same == name.endswith("static")
    np.testing.assert_array_equal(bundle.historical("static", X), bundle.historical("static", other))


def test_changed_bytes_and_other_inputs_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact):
        load_bundle(path, "0" * 64)
    file = path / file_of("boosters_static")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptArtifact):
        load_bundle(path)
    write_bundle(tmp_path / "other", names=[*NAMES[1:], NAMES[0]])
    with pytest.raises(CorruptArtifact, match="other inputs"):
        load_bundle(tmp_path / "other")


def test_a_damaged_model_is_left_out_and_the_others_answer(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    digest = write_bundle(path)
    (path / file_of("network_live")).write_bytes(b"damaged")
    found = load_intact_models(path, digest)
    assert found is not None
    with pytest.raises(ModelUnavailable):
        found.quantiles("network_live", X)
    for name in MODELS[1:]:
        assert np.isfinite(found.quantiles(name, X)).all()
    assert np.isfinite(found.historical("live", X)).all()
    (path / MANIFEST).write_text("{}")
    assert load_intact_models(path, digest) is None
