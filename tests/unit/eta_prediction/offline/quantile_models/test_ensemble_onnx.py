"""The exported ensemble takes the branches of LightGBM, for every float32 input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eta_prediction.model.inputs import Floats
from eta_prediction.offline.quantile_models.ensemble_onnx import export_boosters
from infra.serving.onnx_model import OnnxModel

WIDTH = 4


def boosters_of(seed: int, leaves: int) -> tuple[list[lgb.Booster], Floats]:
    """Three boosters of random rows, whose inputs have many magnitudes and repeated values, and these rows."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(600, WIDTH)) * np.array([1e-3, 1.0, 1e4, 1.0])).astype(np.float32)
    x[:, 3] = np.round(x[:, 3])
    y = np.sign(x[:, 0]) + x[:, 1] ** 2 + x[:, 2] / 1e4 + rng.normal(size=600)
    data = lgb.Dataset(x, y, params={"verbosity": -1}, free_raw_data=False)
    parameters = {
        "objective": "quantile",
        "num_leaves": leaves,
        "min_data_in_leaf": 5,
        "verbosity": -1,
        "num_threads": 1,
    }
    return [lgb.train(parameters | {"alpha": level, "seed": seed}, data, 8) for level in (0.1, 0.5, 0.9)], x


def thresholds_of(boosters: list[lgb.Booster]) -> list[tuple[int, float]]:
    """(input, threshold) of every split."""
    found: list[tuple[int, float]] = []

    def walk(node: dict[str, Any]) -> None:
        if "threshold" in node:
            found.append((node["split_feature"], node["threshold"]))
            walk(node["left_child"])
            walk(node["right_child"])

    for booster in boosters:
        for tree in booster.dump_model()["tree_info"]:
            walk(tree["tree_structure"])
    return found


def on_the_thresholds(boosters: list[lgb.Booster], x: Floats) -> Floats:
    """Rows with one input at a threshold, and at the next float32 on either side."""
    rows = []
    for number, (place, threshold) in enumerate(thresholds_of(boosters)):
        near = np.float32(threshold)
        for value in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
            row = x[number % len(x)].copy()
            row[place] = value
            rows.append(row)
    return np.array(rows, np.float32)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 24))
def test_ensemble_equals_its_boosters_on_random_rows_and_on_thresholds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, leaves: int
) -> None:
    boosters, x = boosters_of(seed, leaves)
    path = tmp_path_factory.mktemp("ensemble") / "boosters.onnx"
    export_boosters(boosters, WIDTH, path, x)
    rows = np.concatenate([x, on_the_thresholds(boosters, x), -x])
    expected = np.stack([np.asarray(booster.predict(rows)) for booster in boosters], axis=1)
    np.testing.assert_allclose(OnnxModel(path, width=WIDTH)(rows), expected, rtol=1e-5, atol=1e-5)


def test_some_thresholds_lie_between_two_float32(tmp_path: Path) -> None:
    """Rounding to the nearest float32 would take another branch there."""
    boosters, _ = boosters_of(3, 16)
    up = [value for _, value in thresholds_of(boosters) if float(np.float32(value)) > value]
    assert up


def test_missing_values_give_finite_times(tmp_path: Path) -> None:
    boosters, x = boosters_of(1, 16)
    export_boosters(boosters, WIDTH, tmp_path / "boosters.onnx", x)
    rows = x[:50].copy()
    rows[::2, 1] = np.nan
    assert np.isfinite(OnnxModel(tmp_path / "boosters.onnx", width=WIDTH)(rows)).all()


def test_boosters_of_one_leaf_are_constants(tmp_path: Path) -> None:
    x = np.zeros((100, WIDTH), np.float32)
    parameters = {"objective": "quantile", "alpha": 0.5, "verbosity": -1}
    constant = lgb.train(parameters, lgb.Dataset(x, np.full(100, 1.5), params={"verbosity": -1}), 3)
    export_boosters([constant] * 3, WIDTH, tmp_path / "boosters.onnx", x)
    np.testing.assert_allclose(OnnxModel(tmp_path / "boosters.onnx", width=WIDTH)(x[:2]), 1.5, rtol=1e-6)
