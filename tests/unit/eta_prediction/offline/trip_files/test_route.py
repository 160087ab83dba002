"""Routes of trips on a map, and the distance in place of a route."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eta_prediction.offline.trip_files.route import great_circles, routed
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trips import Trips
from infra.errors import UsageError
from tests.support.trip_files import LAT, LON, METRE_LAT, METRE_LON, grid, quiet


def test_routes_of_trips_are_those_of_the_map(trips: Trips) -> None:
    tally = Tally()
    found, sums, facts = routed(trips, grid(), quiet, tally)
    assert len(found) == 3000
    assert tally.bad == 0
    blocks = (
        np.abs(trips.to_lon - trips.from_lon) / METRE_LON + np.abs(trips.to_lat - trips.from_lat) / METRE_LAT
    ) / 400
    np.testing.assert_allclose(sums.length_m, np.rint(blocks) * 400, rtol=1e-6)
    np.testing.assert_allclose(sums.free_s, np.rint(blocks) * 40, rtol=1e-6)
    assert facts["routed_pairs"] <= 144 * 143
    assert (sums.turns <= np.rint(blocks)).all()


def test_trips_outside_the_map_are_counted(trips: Trips) -> None:
    inside = np.ones(len(trips), bool)
    for lon, lat in ((trips.from_lon, trips.from_lat), (trips.to_lon, trips.to_lat)):
        column, row = np.rint((lon - LON) / METRE_LON / 400), np.rint((lat - LAT) / METRE_LAT / 400)
        inside &= np.hypot(np.maximum(column - 5, 0), np.maximum(row - 5, 0)) * 400 < 500
    tally = Tally()
    found, _, _ = routed(trips, grid(6), quiet, tally)
    assert set(found.line) == set(trips.line[inside])
    assert tally.refused["outside the map"].count == (~inside).sum() > 0
    far = replace(trips, from_lat=trips.from_lat + 1, to_lat=trips.to_lat + 1)
    with pytest.raises(UsageError, match="3,000 of 3,000 trips are outside the map") as caught:
        routed(far, grid(6), quiet, Tally())
    assert "latitudes 50.000 to 50.018; the median trip begins at longitude 10.0" in caught.value.hint
    swapped = replace(trips, from_lon=trips.from_lat, from_lat=trips.from_lon, to_lon=trips.to_lat, to_lat=trips.to_lon)
    with pytest.raises(UsageError, match="3,000 of 3,000") as caught:
        routed(swapped, grid(12), quiet, Tally())
    assert caught.value.hint.startswith("longitude and latitude of the trips are swapped")


def test_map_is_cut_to_the_trips_without_changing_routes(trips: Trips) -> None:
    few = trips.take((trips.from_lon < LON + 5 * 400 * METRE_LON) & (trips.to_lon < LON + 5 * 400 * METRE_LON))
    small, large = (routed(few, grid(side), quiet, Tally()) for side in (12, 90))
    assert large[2]["routed_nodes"] < 0.7 * 90 * 90
    np.testing.assert_allclose(small[1].length_m, large[1].length_m)


def test_distance_replaces_the_route_without_a_map(trips: Trips) -> None:
    sums = great_circles(trips)
    assert np.array_equal(sums.length_m, trips.line_m)
    assert sums.free_s == pytest.approx(trips.line_m / (25 / 3.6))
