"""The parameters of riders, events, drivers and uploads can be recovered from what they cause."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from eta_prediction.domain import POOLED, Array, hour_of_week
from eta_prediction.world.history import driving_s, queues_s
from eta_prediction.world.riders import hoped_s
from eta_prediction.world.traffic.rush import profile
from tests.support.eta_city import CONFIG, days, world


def column(name: str) -> Array:
    return np.concatenate([np.asarray(getattr(day.found, name)) for day in days()])


def test_riders_cancel_by_the_planted_law_of_their_quote() -> None:
    """A logistic regression of cancellations on the log of quoted over hoped time finds bias and slope."""
    graph, late, cancelled = world().graph, [], column("is_cancelled")
    for day in days():
        routes = day.found.planned.routes
        hoped = hoped_s(CONFIG.riders, routes.total(graph.free_s[routes.edges]))
        late.append(np.log(day.found.quotes.seconds / hoped))
    x = np.concatenate(late)

    def lost(parameters: Array) -> float:
        logit = parameters[0] + parameters[1] * x
        return float(np.sum(np.logaddexp(0, logit) - cancelled * logit))

    bias, slope = minimize(lost, np.zeros(2)).x
    assert slope == pytest.approx(CONFIG.riders.cancel_slope, abs=0.45)
    assert bias == pytest.approx(CONFIG.riders.cancel_bias, abs=0.15)
    assert 0.02 < cancelled.mean() < 0.2


def test_explored_quotes_have_the_planted_share_and_propensity() -> None:
    explored = np.concatenate([day.found.quotes.is_explore for day in days()])
    propensity = np.concatenate([day.found.quotes.propensity for day in days()])
    assert explored.mean() == pytest.approx(CONFIG.riders.explore_share, abs=0.01)
    np.testing.assert_allclose(propensity[explored], CONFIG.riders.explore_share / len(CONFIG.riders.explore_factors))
    np.testing.assert_allclose(propensity[~explored], 1 - CONFIG.riders.explore_share)


def test_pick_ups_after_an_event_have_the_planted_effect() -> None:
    """What is left of the times of trips after the time on the road and the drop-off, over the usual pick-up."""
    left, usual = [], []
    mean = np.exp(0.5 * CONFIG.trips.overhead_noise**2)
    for day in days():
        planned, found = day.found.planned, day.found
        trips, none = planned.trips, np.zeros(len(found.time_s))
        on_road = driving_s(found.state, planned.parts, len(none)) + trips.turns_s
        on_road += queues_s(found.state.incidents, planned)
        rows = found.is_event & (trips.ride_type != POOLED)
        left.append((found.time_s - on_road - mean * np.exp(trips.log_drop_off))[rows])
        hour = profile(hour_of_week(planned.demand.at_ts, CONFIG.time_zone))
        usual.append(mean * np.exp(world().places.log_pick_up(planned.demand.origin, hour, none))[rows])
    found_effect = np.log(np.concatenate(left).mean() / np.concatenate(usual).mean())
    assert found_effect == pytest.approx(CONFIG.trips.event_effect, abs=0.2)


def test_events_bring_riders() -> None:
    expected = CONFIG.events.riders * sum(len(day.found.events) for day in days())
    assert column("is_event").sum() == pytest.approx(expected, rel=0.2)


def test_another_driver_serves_the_planted_share() -> None:
    other = np.concatenate([day.found.served != day.found.planned.demand.driver for day in days()])
    assert other.mean() == pytest.approx(CONFIG.trips.reassigned_share, abs=0.01)


def test_planted_share_of_vehicles_uploads_late() -> None:
    late_s = column("late_s")
    assert (late_s > 0).mean() == pytest.approx(CONFIG.uploads.late_share, abs=0.008)
    assert late_s[late_s > 0].mean() == pytest.approx(60 * CONFIG.uploads.late_min, rel=0.15)


def test_logged_traversals_show_the_planted_congestion() -> None:
    """The mean residual of a group's traversals in a step is A z, with noise of the planted size."""
    errors = []
    for day in days():
        planned, state = day.found.planned, day.found.state
        then, group = state.at(planned.step), world().graph.group[planned.routes.edges]
        residual = np.log(day.found.edge_s / planned.expected_s)
        errors.append(residual - state.swing[then] * state.z[then, group])
    found = np.concatenate(errors)
    assert found.mean() == pytest.approx(0, abs=0.005)
    assert found.std() == pytest.approx(CONFIG.traffic.probe_noise, rel=0.02)
