"""The live log has the rows of the generated history, counts each event once, and shows nothing before it is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.events import tables
from eta_prediction.events.live_history import (
    distinct,
    ended_trips,
    incidents_of,
    read_ended_trips,
    read_live_incidents,
    read_live_traversals,
    read_live_weather,
    upload_rows,
)
from eta_prediction.events.paths import QUOTES, TRIPS, end_of_log
from eta_prediction.events.rows import (
    LIVE_INCIDENTS,
    LIVE_TRAVERSALS,
    LIVE_TRIPS,
    LIVE_WEATHER,
    incident_event_rows,
    quote_rows,
    traversal_event_rows,
    trip_event_rows,
    weather_event_rows,
)
from eta_prediction.events.schemas import TOPICS, Incident, Quote, Traversals, Trip, Weather
from eta_prediction.worker.consumers import QUOTES_KEPT
from eta_prediction.worker.refresh import FOLDERS, read_quotes, read_uploads
from infra.stream.consumer import Received
from infra.stream.sink import ParquetSink, Table
from tests.support.eta_events import START, incident, quote, trip, upload, weather

ROWS: dict[type, tuple[str, Any, str]] = {
    Quote: (TOPICS.quotes, quote_rows, "quote_id"),
    Trip: (TOPICS.trips, trip_event_rows, "event_id"),
    Traversals: (TOPICS.traversals, traversal_event_rows, "event_id"),
    Incident: (TOPICS.incidents, incident_event_rows, "event_id"),
    Weather: (TOPICS.weather, weather_event_rows, "event_id"),
}
TABLES = {topic: Table(FOLDERS[topic], rows, name, QUOTES_KEPT) for topic, rows, name in ROWS.values()}


def write(live: Path, *batches: Sequence[Any], now: float = START) -> ParquetSink:
    sink, offset = ParquetSink(live, TABLES, lambda: now), 0
    sink.resume("1")
    for batch in batches:
        sink.apply([Received(event, ROWS[type(event)][0], 0, offset + at, 0.0) for at, event in enumerate(batch)])
        offset += len(batch)
    return sink


@pytest.mark.parametrize(
    ("rows", "live", "history"),
    [
        (traversal_event_rows([upload()]), LIVE_TRAVERSALS, tables.TRAVERSALS),
        (incident_event_rows([incident()]), LIVE_INCIDENTS, tables.INCIDENTS),
        (weather_event_rows([weather()]), LIVE_WEATHER, tables.WEATHER),
        (trip_event_rows([trip()]), LIVE_TRIPS, tables.TRIPS),
    ],
    ids=["traversals", "incidents", "weather", "trips"],
)
def test_live_rows_have_the_columns_and_types_of_the_history(rows: Any, live: Any, history: Any) -> None:
    assert rows.schema.equals(live)
    assert all(live.field(item.name).type == item.type for item in history)


def test_events_survive_the_log_and_a_repeated_one_counts_once(tmp_path: Path) -> None:
    first, second = upload(1, 0), upload(1, 1, START + 60)
    write(tmp_path, [first, second, trip(1), weather(), incident()], [first, trip(1, received_ts=START + 9e3)])
    rows, ended = read_live_traversals(tmp_path), read_ended_trips(tmp_path)
    assert rows.edge.tolist() == [4, 5, 4, 5]
    assert rows.enter_ts.tolist() == [START, START + 20, START + 60, START + 80]
    assert rows.seconds.tolist() == [19.5, 12.25, 19.5, 12.25]
    assert rows.known_ts.tolist() == [START + 60, START + 60, START + 120, START + 120]
    assert (ended.trips.arrival_ts.tolist(), ended.known_ts.tolist()) == ([START + 800], [START + 802])
    assert [values.tolist() for values in read_live_weather(tmp_path)] == [[START], [1.0]]
    assert read_live_incidents(tmp_path).edge.tolist() == [4]


def test_empty_log_has_no_rows_and_ends_at_zero(tmp_path: Path) -> None:
    assert len(read_live_traversals(tmp_path).edge) == len(read_ended_trips(tmp_path).trips) == 0
    assert len(read_live_incidents(tmp_path).edge) == 0
    assert end_of_log(tmp_path) == 0


def test_world_continues_after_the_last_received_event(tmp_path: Path) -> None:
    write(tmp_path, [quote(request_ts=START + 3.5), trip(at_ts=START + 800)])
    assert end_of_log(tmp_path) == START + 802


def test_quotes_and_recent_uploads_are_read_back(tmp_path: Path) -> None:
    sink = write(tmp_path, [quote(1), quote(2, degraded=["traffic"]), upload(1)])
    write(tmp_path, [upload(2, 0, START + 7200)], now=START + 7260)
    assert [one for some in read_quotes(tmp_path) for one in some] == [quote(1), quote(2, degraded=["traffic"])]
    assert read_uploads(tmp_path, START)["trip_id"].to_pylist() == [1, 2]
    assert read_uploads(tmp_path, START + 7200)["trip_id"].to_pylist() == [2]
    assert {f"{TOPICS.quotes}/1", f"{TOPICS.traversals}/1:0"} <= set(sink.known()), "restarts detect duplicates"
    (file,) = (tmp_path / QUOTES).rglob("*.parquet")
    assert pq.read_table(file, partitioning=None)["request_ts"].null_count == 0
    assert not (tmp_path / TRIPS).exists()


def test_only_ends_of_trips_count_and_cancelled_trips_have_no_arrival() -> None:
    ended = ended_trips(trip_event_rows([trip(1, "picked_up", START + 90), trip(2, "cancelled", START), trip(1)]))
    assert ended.trips.trip_id.tolist() == [2, 1]
    assert ended.trips.is_arrived.tolist() == [False, True]
    assert np.isnan(ended.trips.arrival_ts[0])


def test_incident_is_known_from_its_receipt_until_its_clearance_is_received() -> None:
    late = incident(1, received_ts=START + 300)
    cleared = incident(1, START + 400, received_ts=START + 450)
    rows = incidents_of(distinct(incident_event_rows([cleared, late, incident(2)])))
    assert rows.incident_id.tolist() == [2, 1]
    assert rows.reported_ts.tolist() == [START + 1, START + 300]
    assert rows.cleared_ts.tolist() == [np.inf, START + 450]
    assert not len(incidents_of(incident_event_rows([cleared])).edge), "nobody reported it"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 900)), max_size=12), st.randoms())
def test_traversals_do_not_depend_on_the_order_and_are_never_known_before_their_end(
    drawn: list[tuple[int, int, float]], random: Any
) -> None:
    uploads = [upload(one, number, received_ts=START + after) for one, number, after in drawn]
    shuffled = random.sample(uploads, len(uploads))
    one, other = (upload_rows(distinct(traversal_event_rows(events))) for events in (uploads, shuffled))
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)
    assert (one.known_ts >= one.enter_ts + one.seconds).all()
    assert len(one.trip_id) == len({event.event_id for event in uploads})
