"""Trips of a generated taxi file, for the tests of what is learned from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trips import Trips, read_trips
from infra.build.trip_files import TripFiles
from tests.support.trip_files import quiet, taxi_lines, write


@pytest.fixture
def trips(tmp_path: Path) -> Trips:
    path = write(tmp_path / "trips.csv", taxi_lines(3000))
    return read_trips(TripFiles.of(f"taxi:{path}"), quiet, Tally())
