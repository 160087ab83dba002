"""The profile recovers planted usual traffic, rain, edge offsets and the size of residuals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eta_prediction.domain import GROUP_CLASS, GROUPS, LOCAL, MOTORWAY, Array, hour_of_week
from eta_prediction.events.history import TraversalRows
from eta_prediction.features.probes import STEP_S, Cells, EdgeSums, cells_of
from eta_prediction.features.profile import SLOTS, Profile, fit_profile
from tests.support.eta_roads import GRAPH, MONDAY

STEPS = 288
EDGES = 40
PROBE_SD, JAM = 0.3, 0.2


def shape(hour: Array) -> Array:
    """Two rush hours on workdays, none at the weekend."""
    of_day = hour % 24
    rush = np.exp(-0.5 * ((of_day - 8) / 1.1) ** 2) + np.exp(-0.5 * ((of_day - 17) / 1.5) ** 2)
    return np.where(hour < 5 * 24, rush, 0.3)


SIZE = np.linspace(0.2, 0.6, GROUPS)
RAIN_EFFECT = np.array([0.05, 0.1, 0.15])[GROUP_CLASS]


def learned(seed: int, weeks: int, jam: float = JAM) -> Profile:
    rng = np.random.default_rng(seed)
    steps = weeks * 7 * STEPS
    middle_ts = MONDAY + (np.arange(steps, dtype=np.float64) + 0.5) * STEP_S
    rain = (rng.random(steps // 24) < 0.3).repeat(24).astype(float)
    count = rng.poisson(8, (steps, GROUPS)).astype(float)
    mean = SIZE * shape(hour_of_week(middle_ts, "Europe/Berlin"))[:, None] + RAIN_EFFECT * rain[:, None]
    mean = (
        mean
        + jam * rng.normal(size=(steps, GROUPS))
        + PROBE_SD / np.sqrt(np.maximum(count, 1)) * rng.normal(size=(steps, GROUPS))
    )
    of_edge = np.full(EDGES, 100_000.0)
    offset = np.r_[0.2, np.zeros(EDGES - 1)]
    square = float(PROBE_SD**2 * (of_edge.sum() - (count > 0).sum()))
    edges = EdgeSums(of_edge, of_edge * offset, square)
    return fit_profile(Cells(middle_ts, count, count * mean), rain, edges, "Europe/Berlin")


@pytest.fixture(scope="module")
def profile() -> Profile:
    return learned(1, 3)


def test_usual_traffic_is_recovered_at_every_hour_and_at_its_peak(profile: Profile) -> None:
    planted = SIZE[:, None] * shape((np.arange(SLOTS) + 0.5) / 12)
    off_midnight = np.abs((np.arange(SLOTS) / 12) % 24 - 12) < 11  # kinds of day meet at midnight
    error = (profile.usual - planted)[:, off_midnight]
    assert np.sqrt((error**2).mean()) < 0.02
    at_peak = int(8.0 * 12)
    np.testing.assert_allclose(profile.usual[:, at_peak], SIZE, atol=0.06)


def test_rain_effect_and_spread_and_probe_noise_are_recovered(profile: Profile) -> None:
    np.testing.assert_allclose(profile.rain_effect, RAIN_EFFECT, atol=0.02)
    np.testing.assert_allclose(profile.spread, JAM, atol=0.03)
    assert profile.probe_sd == pytest.approx(PROBE_SD, rel=0.02)


def test_an_edge_that_differs_keeps_its_offset_and_equal_edges_have_none(profile: Profile) -> None:
    assert profile.offset[0] == pytest.approx(0.2, abs=0.02)
    np.testing.assert_allclose(profile.offset[1:], 0.0, atol=0.005)


def test_more_weeks_reduce_the_error_of_the_profile() -> None:
    planted = SIZE[:, None] * shape((np.arange(SLOTS) + 0.5) / 12)
    short, long = (np.sqrt(((learned(2, weeks, jam=0.5).usual - planted) ** 2).mean()) for weeks in (1, 6))
    assert long < 0.7 * short


def test_cells_count_a_traversal_in_the_step_and_group_in_which_it_began() -> None:
    edge = np.array([3, 3, 7])
    begin = np.array([10.0, 310.0, 299.0])
    seconds = GRAPH.free_s[edge] * np.exp([0.5, 0.1, -0.2])
    rows = TraversalRows(
        np.zeros(1, np.int64), np.zeros(1), np.zeros(3, np.int64), edge, MONDAY + begin, seconds, begin
    )
    cells, edges = cells_of(GRAPH, rows, MONDAY, 2)
    assert cells.count.sum() == 3
    assert cells.total[1, GRAPH.group[3]] == pytest.approx(0.1)
    assert cells.total[0].sum() == pytest.approx(0.3)
    assert edges.count[3] == 2
    shifted, _ = cells_of(GRAPH, rows, MONDAY + STEP_S, 2)
    assert shifted.count.sum() == 1, "traversals of other days are left out"


def test_a_profile_survives_its_file(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.npz"
    profile.write(path)
    again = Profile.read(path)
    np.testing.assert_array_equal(again.usual, profile.usual)
    assert (again.probe_sd, again.time_zone) == (profile.probe_sd, profile.time_zone)


def test_classes_of_road_have_separate_rain_effects(profile: Profile) -> None:
    assert profile.rain_effect[GROUP_CLASS == MOTORWAY].min() > profile.rain_effect[GROUP_CLASS == LOCAL].max() + 0.05
