"""Estimates of single edges use their own traversals alone, and only those that are known."""

from __future__ import annotations

import numpy as np
import pytest

from eta_prediction.domain import Array, Ints
from eta_prediction.features.edge_residuals import WINDOW_HALF_LIVES, edge_traffic
from eta_prediction.features.forecast import HORIZONS_MIN, INPUTS, SpeedForecast, make_kernels
from eta_prediction.features.residuals import probes_of
from tests.support.eta_roads import GRAPH, MONDAY, profile_of

PROFILE = profile_of()
WEIGHTS: Array = np.zeros((len(HORIZONS_MIN), len(INPUTS)))
WEIGHTS[:, 0] = 0.8 ** np.arange(len(HORIZONS_MIN))
FORECAST = SpeedForecast(WEIGHTS, make_kernels(GRAPH))
HALF_LIFE_S = 600.0


def estimate(edge: Ints, enter_ts: Array, known_ts: Array, ratio: Array, asked: Ints, at_ts: Array) -> Array:
    usual = PROFILE.edge_log_ratio(GRAPH, edge, PROFILE.slot(enter_ts).astype(np.int64), np.zeros(len(edge)))
    seconds = GRAPH.free_s[edge] * np.exp(usual + ratio)
    probes = probes_of(GRAPH, PROFILE, edge, enter_ts, seconds, np.zeros(len(edge)))
    found = edge_traffic(PROFILE, FORECAST, probes, edge, known_ts, asked, at_ts, HALF_LIFE_S)
    np.testing.assert_allclose(found.fade, WEIGHTS[:, 0])
    return found.u


def test_an_estimate_equals_a_recount_of_the_edges_known_traversals() -> None:
    rng = np.random.default_rng(1)
    edge, enter_ts = rng.integers(0, 20, 400), MONDAY + 8 * 3600 + rng.uniform(0, 7_200, 400)
    known_ts, ratio = enter_ts + rng.exponential(120, 400), rng.normal(0.2, 0.3, 400)
    asked, at_ts = rng.integers(0, 30, 60), MONDAY + 8 * 3600 + rng.uniform(0, 7_200, 60)
    found = estimate(edge, enter_ts, known_ts, ratio, asked, at_ts)
    spread = PROFILE.spread[PROFILE.slot(enter_ts).astype(np.int64)]
    for number, (one, now) in enumerate(zip(asked.tolist(), at_ts.tolist(), strict=True)):
        mine = (edge == one) & (known_ts <= now) & (known_ts > now - WINDOW_HALF_LIVES * HALF_LIFE_S)
        weight = 0.5 ** ((now - enter_ts[mine]) / HALF_LIFE_S)
        above, below = (weight * spread[mine] * ratio[mine]).sum(), (weight * spread[mine] ** 2).sum()
        assert found[number] == pytest.approx(above / (below + PROFILE.probe_sd**2), abs=1e-9)
    assert np.count_nonzero(found) > 20
    assert np.all(found[asked >= 20] == 0), "edges without traversals have the usual traffic"
