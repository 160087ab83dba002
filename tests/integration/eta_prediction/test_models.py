"""The models recover what is planted: bias of the route, quantiles of the noise. Their exports are the same models."""

from __future__ import annotations

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from eta_prediction.domain import Array
from eta_prediction.model.inputs import Floats, column
from eta_prediction.offline.quantile_models.boosters import BoosterPlan, fit_boosters, predict_boosters
from eta_prediction.offline.quantile_models.ensemble_onnx import export_boosters
from eta_prediction.offline.quantile_models.fit_corrected_route import fit_corrected_route
from eta_prediction.offline.quantile_models.quantile_net import fit_net, mean_nodes, predict_net
from infra.serving.onnx_model import OnnxModel
from infra.training.fitting import Plan
from infra.training.onnx_graph import export
from tests.support.eta_planted import planted

LEVELS = (0.1, 0.5, 0.9)
X, SECONDS, DAY = planted(20)
NEW_X, NEW_SECONDS, _ = planted(10, seed=1)
ROUTE = fit_corrected_route(X, column(X, "live_s"), SECONDS, 0)
BASE_S, NEW_BASE_S = (ROUTE.seconds(x, column(x, "live_s")) for x in (X, NEW_X))


def test_corrected_route_removes_the_planted_bias_by_hour_and_type() -> None:
    hour = np.arctan2(column(NEW_X, "hour_sin"), column(NEW_X, "hour_cos")) * 12 / np.pi % 24
    pooled = column(NEW_X, "is_pooled") > 0
    for rows in (np.abs(hour - 8) < 2, np.abs(hour - 20) < 2, pooled, ~pooled):
        assert np.median(NEW_SECONDS[rows] / NEW_BASE_S[rows]) == pytest.approx(1, abs=0.02)
        assert abs(np.median(NEW_SECONDS[rows] / column(NEW_X, "live_s")[rows]) - 1) > 0.03, "the bias was there"


def test_corrected_route_from_seconds_alone_is_close_to_the_full_one() -> None:
    monday = 1_767_571_200.0 - 3_600  # 00:00 in the zone, a Monday
    hour = np.arctan2(column(NEW_X, "hour_sin"), column(NEW_X, "hour_cos")) * 12 / np.pi % 24
    ride = column(NEW_X, "is_pooled").astype(np.int64)
    found = ROUTE.from_seconds(column(NEW_X, "live_s"), monday + hour * 3_600, "Europe/Berlin", ride)
    assert np.median(np.abs(found / NEW_BASE_S - 1)) < 0.01
    assert np.isnan(ROUTE.from_seconds(np.array([np.nan]), np.array([monday]), "Europe/Berlin", np.zeros(1, np.int64)))


def test_interval_of_past_trips_covers() -> None:
    found = ROUTE.quantiles(NEW_BASE_S, column(NEW_X, "live_s"), column(NEW_X, "traffic") > 0.25)
    inside = (found[:, 0] < NEW_SECONDS) & (found[:, 2] > NEW_SECONDS)
    assert inside.mean() == pytest.approx(0.8, abs=0.03)


@pytest.fixture(scope="module")
def boosters() -> list[lgb.Booster]:
    return fit_boosters(X, SECONDS / BASE_S, BoosterPlan(80, 15, 0))


@pytest.fixture(scope="module")
def net_predictions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Floats, Floats]:
    """Predictions of the trained network and of its export."""
    found = fit_net(X, SECONDS / BASE_S, "absolute", (32, 16), Plan(12, 256, 3e-3, 0), lambda *_: None)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    export(found.model, lambda graph, x: mean_nodes([found.model], graph, x), path, X[:500])
    return predict_net(found.model, NEW_X), OnnxModel(path, width=X.shape[1])(NEW_X)


def check_recovered(ratios: Floats) -> None:
    """Shares below each quantile, in rain and without, are those asked for."""
    actual, rain = NEW_SECONDS / NEW_BASE_S, column(NEW_X, "rain") > 0
    for rows in (rain, ~rain):
        below: Array = (actual[rows, None] < ratios[rows]).mean(0)
        np.testing.assert_allclose(below, LEVELS, atol=0.06)
    width = ratios[:, 2] - ratios[:, 0]
    assert np.median(width[rain]) > 1.5 * np.median(width[~rain]), "rain doubles the noise"


def test_boosters_recover_the_planted_quantiles(boosters: list[lgb.Booster]) -> None:
    check_recovered(predict_boosters(boosters, NEW_X))


def test_network_recovers_the_planted_quantiles_in_order(net_predictions: tuple[Floats, Floats]) -> None:
    check_recovered(net_predictions[0])
    assert (np.diff(net_predictions[0], axis=1) >= 0).all()


def test_exported_network_is_the_trained_one(net_predictions: tuple[Floats, Floats]) -> None:
    np.testing.assert_allclose(*net_predictions, atol=1e-4)


def test_squared_loss_predicts_the_mean_and_absolute_loss_the_median() -> None:
    """A third of the trips takes twice as long: the mean lies far above the median."""
    rng, x = np.random.default_rng(0), np.ones((4_000, 2), np.float32) * np.arange(2, dtype=np.float32)
    ratio = np.where(rng.random(len(x)) < 0.33, 2.0, 1.0) + 0.2 * rng.normal(size=len(x))
    middle = {}
    for loss in ("absolute", "squared"):
        found = fit_net(x, ratio, loss, (8, 8), Plan(60, 256, 2e-2, 0), lambda *_: None)
        middle[loss] = float(predict_net(found.model, x[:1])[0, 1])
    assert middle["absolute"] == pytest.approx(np.median(ratio), abs=0.05)
    assert middle["squared"] == pytest.approx(ratio.mean(), abs=0.05)


def test_one_ensemble_equals_three_boosters_also_at_their_thresholds(
    boosters: list[lgb.Booster], tmp_path: Path
) -> None:
    """Every threshold of every tree, and its two neighbours in float32, takes the branch that LightGBM takes."""
    path = tmp_path / "boosters.onnx"
    export_boosters(boosters, X.shape[1], path, X[:100])
    frame = boosters[1].trees_to_dataframe()
    splits = frame[frame["split_feature"].notna()]
    rows = [NEW_X[:200]]
    for name, threshold in zip(splits["split_feature"], splits["threshold"], strict=True):
        at = NEW_X[:3].copy()
        near = np.float32(threshold)
        at[:, int(name.removeprefix("Column_"))] = [
            near,
            np.nextafter(near, np.float32(9e9)),
            np.nextafter(near, np.float32(-9e9)),
        ]
        rows.append(at)
    x = np.concatenate(rows)
    np.testing.assert_allclose(OnnxModel(path, width=X.shape[1])(x), predict_boosters(boosters, x), atol=1e-5)
