"""Decayed sums depend on what is known at a time only, and forecasts recover a planted process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eta_prediction.config import SMOKE
from eta_prediction.domain import GROUPS, Array, Ints
from eta_prediction.features.forecast import HORIZONS_MIN, INPUTS, SpeedForecast, make_kernels
from eta_prediction.features.residuals import PARTS, Probes, added_sums, nothing, probes_of, run
from eta_prediction.features.speeds import Speeds, make_speeds
from eta_prediction.offline.fit_forecast import fit_forecast
from tests.support.eta_roads import GRAPH, MONDAY, profile_of

PROFILE = profile_of()
HALF_LIFE_S = 600.0
MINUTES = 40
ENDS: Array = MONDAY + 60.0 * np.arange(1, MINUTES + 1, dtype=np.float64)


def probes(rng: np.random.Generator, n: int) -> tuple[Probes, Array]:
    """(random traversals, the times at which they are known)."""
    edge = rng.integers(0, GRAPH.edges, n)
    enter_ts = MONDAY + rng.uniform(0, 60 * MINUTES, n)
    seconds = GRAPH.free_s[edge] * np.exp(rng.normal(0.2, 0.3, n))
    late_s = np.where(rng.random(n) < 0.3, rng.exponential(600, n), 0.0)
    return probes_of(GRAPH, PROFILE, edge, enter_ts, seconds, np.zeros(n)), enter_ts + seconds + late_s


def sums_of(found: Probes, known_ts: Array, ends: Array = ENDS) -> Array:
    known_in = np.ceil((known_ts - MONDAY) / 60).astype(np.int64) - 1
    kept = known_in < len(ends)
    some = Probes(*(values[kept] for values in vars(found).values()))
    return run(nothing(MONDAY), added_sums(some, PROFILE, known_in[kept], ends, HALF_LIFE_S), ends, HALF_LIFE_S)[0]


@given(st.integers(0, 1000), st.integers(1, MINUTES))
@settings(max_examples=25, deadline=None)
def test_sums_from_minute_to_minute_equal_one_sum_over_all_known_traversals(seed: int, minutes: int) -> None:
    found, known_ts = probes(np.random.default_rng(seed), 200)
    at_ts = float(ENDS[minutes - 1])
    known = known_ts <= at_ts
    weight = 0.5 ** ((at_ts - found.enter_ts[known]) / HALF_LIFE_S)
    spread = PROFILE.spread[found.slot[known]]
    group = found.group[known]
    expected = np.bincount(group, weight * spread * found.residual[known], GROUPS)
    sums = sums_of(found, known_ts)[minutes - 1]
    np.testing.assert_allclose(sums[PARTS.index("slow_sr")], expected, atol=1e-9)
    np.testing.assert_allclose(sums[PARTS.index("slow_n")], np.bincount(group, weight, GROUPS), atol=1e-9)
    fast = np.bincount(group, weight**4 * spread**2, GROUPS)
    np.testing.assert_allclose(sums[PARTS.index("fast_ss")], fast, atol=1e-9)


def test_a_late_probe_moves_nothing_before_it_is_known() -> None:
    found, known_ts = probes(np.random.default_rng(3), 300)
    extra = Probes(found.group[:1], found.slot[:1], np.array([5.0]), np.array([MONDAY + 60.0]))
    both = Probes(*(np.r_[a, b] for a, b in zip(vars(found).values(), vars(extra).values(), strict=True)))
    late_ts = MONDAY + 60.0 * 30 - 1.0
    before, after = sums_of(found, known_ts), sums_of(both, np.r_[known_ts, late_ts])
    np.testing.assert_array_equal(before[:29], after[:29])
    assert not np.allclose(before[29], after[29])


def test_a_residual_is_what_the_profile_does_not_explain() -> None:
    edge, at_ts = np.array([5, 9]), np.full(2, MONDAY + 8 * 3600.0)
    slot, rain = PROFILE.slot(at_ts).astype(np.int64), np.array([0.0, 1.0])
    usual = GRAPH.free_s[edge] * np.exp(PROFILE.edge_log_ratio(GRAPH, edge, slot, rain))
    found = probes_of(GRAPH, PROFILE, edge, at_ts, usual * np.exp([0.3, -0.1]), rain)
    np.testing.assert_allclose(found.residual, [0.3, -0.1])


PHI, STEPS, PROBES = 0.8, 3000, 2


@pytest.fixture(scope="module")
def planted() -> tuple[Array, Array, Array]:
    """(observed residuals float64[steps, groups], their sums, the time of the week) of a process that forgets."""
    rng = np.random.default_rng(5)
    city, u = np.zeros(1), np.zeros(GROUPS)
    path = np.empty((STEPS, GROUPS))
    for step in range(STEPS):
        city = PHI * city + np.sqrt(1 - PHI**2) * rng.normal(size=1)
        u = PHI * u + np.sqrt(1 - PHI**2) * rng.normal(size=GROUPS)
        path[step] = np.sqrt(0.5) * (city + u)
    slot: Array = np.arange(STEPS, dtype=np.float64) % 2016
    spread = PROFILE.spread[slot.astype(np.int64)][:, None]
    residual = spread * path + PROFILE.probe_sd / np.sqrt(PROBES) * rng.normal(size=path.shape)
    sums = np.zeros((STEPS, len(PARTS), GROUPS))
    for begin in (0, 2):
        sums[1:, begin] = (PROBES * spread * residual)[:-1]
        sums[1:, begin + 1] = np.broadcast_to(PROBES * spread**2, path.shape)[:-1]
    sums[:, 4] = PROBES
    return residual, sums, slot


def fitted(planted: tuple[Array, Array, Array], smoothing: str) -> SpeedForecast:
    residual, sums, slot = planted
    return fit_forecast(GRAPH, PROFILE, sums, slot, np.full_like(residual, PROBES), residual, smoothing)


def explained(planted: tuple[Array, Array, Array], forecast: SpeedForecast) -> Array:
    """float64[horizons]: share of the squared residual, without noise, that the forecast removes in the second half."""
    residual, sums, slot = planted
    found = forecast.apply(PROFILE, sums, slot)
    noise = PROFILE.probe_sd**2 / PROBES
    shares = []
    for number, minutes in enumerate(HORIZONS_MIN):
        ahead = minutes // 5 - 1
        target, guess = residual[ahead:], found[: STEPS - ahead, :, number]
        shares.append(
            1 - (((target - guess) ** 2)[STEPS // 2 :].mean() - noise) / ((target**2)[STEPS // 2 :].mean() - noise)
        )
    return np.array(shares)


def test_forecasts_beat_the_profile_and_their_advantage_fades(planted: tuple[Array, Array, Array]) -> None:
    share = explained(planted, fitted(planted, "neighbour"))
    assert share[0] > 0.3
    assert np.all(np.diff(share) < 0.01)
    assert -0.01 < share[-1] < 0.1, "the far future is the usual traffic"


def test_neighbours_help_where_traffic_is_shared(planted: tuple[Array, Array, Array]) -> None:
    assert explained(planted, fitted(planted, "neighbour"))[0] > explained(planted, fitted(planted, "group"))[0] + 0.02


def test_latest_speeds_hold_for_the_whole_horizon_and_hurt_later(planted: tuple[Array, Array, Array]) -> None:
    residual, sums, slot = planted
    forecast = fitted(planted, "group")
    config = replace(SMOKE.features, speed_forecast="latest")
    state = replace(nothing(MONDAY), sums=sums[500])
    found = make_speeds(config, PROFILE, forecast, state, 7, 0.0).forecast
    assert np.all(found == found[:, :1])
    ahead = HORIZONS_MIN[-1] // 5 - 1
    now = sums[: STEPS - ahead, 2] / (sums[: STEPS - ahead, 3] + PROFILE.probe_sd**2)
    now = now * PROFILE.spread[slot[: STEPS - ahead].astype(np.int64)][:, None]
    target = residual[ahead:]
    assert ((target - now) ** 2).sum() > (target**2).sum()


def test_speeds_survive_their_file_and_name_their_snapshot(tmp_path: Path, planted: tuple[Array, Array, Array]) -> None:
    state = replace(nothing(MONDAY + 30.0), sums=planted[1][700])
    made = make_speeds(SMOKE.features, PROFILE, fitted(planted, "neighbour"), state, 12, 1.0)
    path = tmp_path / "speeds.npz"
    made.write(path)
    again = Speeds.read(path)
    assert (again.snapshot_id, again.made_ts, again.rain) == (12, MONDAY + 30.0, 1.0)
    np.testing.assert_array_equal(again.forecast, made.forecast)
    assert again.forecast.shape == (GROUPS, len(HORIZONS_MIN))
    assert again.forecast.dtype == np.float32


def test_kernels_weigh_near_groups_more_than_far_ones_and_never_the_group_itself() -> None:
    near, around, _, city = make_kernels(GRAPH)
    assert np.all(np.diag(near) == 0)
    assert np.all(near <= around + 1e-12)
    assert np.all(city == 1)
    of_district: Ints = np.arange(38) // 2
    same = (of_district[:, None] == of_district) & ~np.eye(38, dtype=bool)
    assert near[:38, :38][same].mean() > 1.5 * near[:38, :38][~same].mean()
    assert len(INPUTS) == 9
