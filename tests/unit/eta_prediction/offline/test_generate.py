"""The written history: complete, readable, the same for the same seed, and only longer for more days."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eta_prediction.config import SMOKE, WorldConfig
from eta_prediction.events.history import (
    ANNOUNCED_DAYS,
    GRAPH,
    read_calendar,
    read_graph,
    read_incidents,
    read_traversals,
    read_trips,
    read_weather,
    write_graph,
)
from eta_prediction.offline.generate import write_log
from eta_prediction.world.truth import make_world
from infra.simulation.streams import end_ts, start_ts

TINY = replace(SMOKE.world, days=2, trips_per_day=150)


def write(out: Path, config: WorldConfig, processes: int = 1) -> list[int]:
    world = make_world(config)
    out.mkdir(exist_ok=True)
    write_graph(out / GRAPH, world.graph)
    return write_log(world, out, lambda *_: None, processes)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.parquet"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("history")
    write(out, TINY)
    return out


def test_same_seed_writes_the_same_bytes(history: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", TINY)
    assert digests(tmp_path / "again") == digests(history)
    write(tmp_path / "other", replace(TINY, seed=18))
    assert digests(tmp_path / "other") != digests(history)


def test_several_processes_write_the_same_bytes(history: Path, tmp_path: Path) -> None:
    assert write(tmp_path / "spread", TINY, processes=2) == write(tmp_path / "alone", TINY)
    assert digests(tmp_path / "spread") == digests(history)


def test_longer_history_only_adds_days(history: Path, tmp_path: Path) -> None:
    """Also a run that ended between two days goes on with the days that are missing."""
    out = tmp_path / "history"
    write(out, replace(TINY, days=1))
    first = digests(out)
    write(out, TINY)
    assert digests(out) == digests(history)
    assert first.items() < digests(out).items()


def test_trips_and_traversals_agree(history: Path) -> None:
    graph, trips = read_graph(history), read_trips(history, TINY, range(2))
    assert (np.diff(trips.request_ts) >= 0).all()
    assert np.isfinite(trips.arrival_ts[trips.is_arrived]).all()
    assert np.isnan(trips.arrival_ts[~trips.is_arrived]).all()
    row = {trip: number for number, trip in enumerate(trips.trip_id.tolist())}
    for day in range(2):
        driven = read_traversals(history, TINY, day)
        first = np.searchsorted(driven.owner, np.arange(len(driven.trip_id)))
        last = np.searchsorted(driven.owner, np.arange(len(driven.trip_id)), "right") - 1
        rows = np.array([row[trip] for trip in driven.trip_id.tolist()])
        assert trips.is_arrived[rows].all()
        np.testing.assert_array_equal(graph.tail[driven.edge[first]], trips.origin[rows])
        np.testing.assert_array_equal(graph.head[driven.edge[last]], trips.destination[rows])
        inside = np.flatnonzero(driven.owner[1:] == driven.owner[:-1])
        np.testing.assert_array_equal(graph.head[driven.edge[inside]], graph.tail[driven.edge[inside + 1]])
        assert (driven.known_ts >= driven.enter_ts + driven.seconds - 1e-6).all()


def test_log_holds_only_incidents_that_were_reported(history: Path) -> None:
    incidents = read_incidents(history, TINY)
    assert len(incidents.edge) > 10
    assert (incidents.begin_ts <= incidents.reported_ts).all()
    assert (incidents.reported_ts < incidents.cleared_ts).all()
    assert (np.diff(incidents.reported_ts) >= 0).all()
    assert len(np.unique(incidents.incident_id)) == len(incidents.edge)


def test_weather_has_each_step_and_events_lie_on_the_map(history: Path) -> None:
    at_ts, rain = read_weather(history, TINY)
    np.testing.assert_allclose(at_ts, start_ts(TINY) + 300.0 * np.arange(2 * 288))
    assert set(np.unique(rain)) <= {0.0, 1.0}
    events = read_calendar(history, TINY)
    assert (events.node < read_graph(history).nodes).all()
    assert (events.begin_ts < events.end_ts).all()


def test_calendar_announces_the_events_of_the_next_weeks(history: Path) -> None:
    end = end_ts(TINY)
    announced = read_calendar(history, TINY).end_ts
    assert (announced > end).sum() > 10
    assert announced.max() < end + (ANNOUNCED_DAYS + 1) * 86_400.0
