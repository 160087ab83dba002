"""The number of incidents that nobody has reported has the expectation that the oracle uses."""

from __future__ import annotations

import numpy as np
import pytest

from eta_prediction.config import SMOKE, IncidentConfig
from eta_prediction.domain import LOCAL
from eta_prediction.world.city import make_city
from eta_prediction.world.traffic.incidents import draw_incidents, edge_rates, unreported_mean
from infra.columns import DAY_S

CITY = make_city(SMOKE.world.city, SMOKE.world.seed)
MANY = IncidentConfig(per_day=200_000.0)


@pytest.mark.parametrize("ahead_s", [0.0, 300.0, 1800.0])
def test_unreported_incidents_have_the_expected_number(ahead_s: float) -> None:
    rates = edge_rates(MANY, CITY)
    found = draw_incidents(MANY, rates, np.random.default_rng(3), 0.0, DAY_S)
    for now in (0.3 * DAY_S, 0.6 * DAY_S):
        later = now + ahead_s
        there = (found.begin_ts <= later) & (found.end_ts > later) & ~(found.reported_ts <= now)
        expected = float(unreported_mean(MANY, rates, np.full(CITY.edges, now), np.full(CITY.edges, later)).sum())
        assert there.sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_incidents_happen_on_large_roads_and_are_reported_late_or_never() -> None:
    found = draw_incidents(MANY, edge_rates(MANY, CITY), np.random.default_rng(3), 0.0, DAY_S)
    assert not (CITY.road[found.edge] == LOCAL).any()
    assert (found.reported_ts > found.begin_ts).all()
    never = np.isinf(found.reported_ts)
    assert never.mean() == pytest.approx(MANY.report_min / (MANY.report_min + MANY.life_min), abs=0.01)
    assert (found.reported_ts[~never] < found.end_ts[~never]).all()
