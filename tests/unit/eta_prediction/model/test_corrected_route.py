"""The corrected route does not depend on the unit of the route's time, and it is defined for every hour."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import CorrectedRoute, full_columns
from eta_prediction.model.inputs import Floats, column
from eta_prediction.offline.quantile_models.fit_corrected_route import fit_corrected_route, route_times
from tests.support.eta_planted import planted

X, SECONDS, _ = planted(12)
NEW_X, NEW_SECONDS, _ = planted(8, seed=1)


def corrected(traffic: str, factor: float = 1.0) -> tuple[CorrectedRoute, Array]:
    """A route whose times are `factor` too long, and its corrected times of new trips."""
    route = fit_corrected_route(X, factor * route_times(X)[traffic], SECONDS, 0)
    return route, route.seconds(NEW_X, factor * route_times(NEW_X)[traffic])


def test_route_that_is_too_long_by_a_constant_factor_is_corrected_to_the_same_times() -> None:
    np.testing.assert_allclose(corrected("live", 1.7)[1], corrected("live")[1], rtol=0.02)


def test_each_kind_of_traffic_has_its_own_correction_and_live_traffic_the_smaller_error() -> None:
    live, static = (np.abs(corrected(traffic)[1] - NEW_SECONDS).mean() for traffic in ("live", "static"))
    assert live < 0.85 * static


def test_times_are_the_columns_of_the_fit_times_the_weights() -> None:
    route_s = route_times(NEW_X)["live"]
    route, found = corrected("live")
    np.testing.assert_allclose(found, np.maximum(full_columns(NEW_X, route_s) @ route.full, 30.0), rtol=1e-9)


def hours(x: Floats) -> Array:
    return np.arctan2(column(x, "hour_sin"), column(x, "hour_cos")) * 12 / np.pi % 24


def test_hours_without_past_trips_get_plausible_times() -> None:
    night = hours(X) < 6
    route = fit_corrected_route(X[night], column(X, "live_s")[night], SECONDS[night], 0)
    found = route.seconds(NEW_X, column(NEW_X, "live_s"))
    assert np.isfinite(found).all()
    assert (found >= 30).all()
    known = hours(NEW_X) < 5
    assert np.median((found / NEW_SECONDS)[known]) == pytest.approx(1, abs=0.03)


def test_json_keeps_a_route() -> None:
    route, _ = corrected("live")
    same = CorrectedRoute.of_json(json.loads(json.dumps(route.as_json())))
    for name in ("full", "plain", "interval"):
        np.testing.assert_array_equal(getattr(same, name), getattr(route, name))
