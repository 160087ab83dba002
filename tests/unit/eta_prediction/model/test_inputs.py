"""Model inputs have one order, and each one its place."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import AIRPORT, POOLED, STANDARD
from eta_prediction.features.route_inputs import RouteInputs
from eta_prediction.features.views import DriverFeatures, no_driver
from eta_prediction.model.inputs import LIVE, NAMES, STATIC_NAMES, TripInputs, assemble, column

N = 3


def trips(driver: DriverFeatures) -> TripInputs:
    route = RouteInputs(*(np.arange(1.0, N + 1) * (place + 1) for place in range(len(RouteInputs.__annotations__))))
    return TripInputs(
        route=route,
        hour=np.array([0.0, 6.0, 5 * 24 + 12.0]),
        rain=np.array([0.0, 1.0, 0.0]),
        pick_up_s=np.array([10.0, 20.0, 30.0]),
        drop_off_s=np.zeros(N),
        event=np.zeros(N),
        event_min=np.full(N, -1.0),
        ride_type=np.array([STANDARD, POOLED, AIRPORT]),
        driver=driver,
    )


def test_every_input_is_in_its_column() -> None:
    given = trips(no_driver(N))
    x = assemble(given)
    assert x.shape == (N, len(NAMES))
    assert x.dtype == np.float32
    np.testing.assert_allclose(column(x, "live_s"), given.route.live_s)
    np.testing.assert_allclose(column(x, "live_pace"), given.route.live_s / given.route.profile_s, rtol=1e-6)
    np.testing.assert_allclose(column(x, "pick_up_s"), [10, 20, 30])
    np.testing.assert_allclose(column(x, "is_pooled"), [0, 1, 0])
    np.testing.assert_allclose(column(x, "is_airport"), [0, 0, 1])
    np.testing.assert_allclose(column(x, "is_weekend"), [0, 0, 1])
    np.testing.assert_allclose(column(x, "hour_sin"), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(column(x, "hour_cos"), [1, 0, -1], atol=1e-6)


def test_a_trip_without_a_driver_differs_from_an_average_driver() -> None:
    known = DriverFeatures(np.ones(N), np.zeros(N), np.zeros(N), np.zeros(N))
    one, other = assemble(trips(no_driver(N))), assemble(trips(known))
    changed = {name for number, name in enumerate(NAMES) if not np.array_equal(one[:, number], other[:, number])}
    assert changed == {"driver_known"}


def test_static_models_see_no_live_input() -> None:
    base, live = trips(no_driver(N)), assemble(trips(no_driver(N)))
    for name in ("live_s", "incidents", "city_residual", "observed_share"):
        assert name in LIVE
    route = vars(base.route) | {name: np.full(N, 77.0) for name in LIVE if name in vars(base.route)}
    moved = assemble(TripInputs(**(vars(base) | {"route": RouteInputs(**route)})))
    changed = {name for number, name in enumerate(NAMES) if not np.array_equal(live[:, number], moved[:, number])}
    assert changed
    assert not changed & set(STATIC_NAMES)
