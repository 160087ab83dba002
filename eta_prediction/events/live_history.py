"""Step `live`: copies the live events up to the start of this build. Readers of the live log.

Apps send the events. A duplicate event counts once. Trips, traversals and incidents count from the time when the
service received them. The readers return the same rows as those of the generated history (`events.history`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from eta_prediction.config import EtaConfig
from eta_prediction.domain import ARRIVED, CANCELLED, Array, Ints
from eta_prediction.events.history import (
    IncidentRows,
    TraversalRows,
    TripRows,
    incident_rows,
    traversal_rows,
    trip_rows,
)
from eta_prediction.events.paths import INCIDENTS, LIVE_LOG, QUOTES, TRAVERSALS, TRIPS, WEATHER
from eta_prediction.events.rows import LIVE_INCIDENTS, LIVE_TRAVERSALS, LIVE_TRIPS, LIVE_WEATHER
from eta_prediction.events.schemas import Quote
from eta_prediction.events.tables import INCIDENTS as INCIDENT_SCHEMA
from infra.build.runner import Facts, StepContext
from infra.columns import seconds, timestamps
from infra.live.kept_log import keep_cut, log_errors, read_folder, write_cut
from infra.simulation.streams import end_ts


@dataclass(frozen=True)
class EndedTrips:
    """Trips that arrived or were cancelled. `known_ts` float64[n] is the time when the service received the end; it is
    never before the end."""

    trips: TripRows
    known_ts: Array


def cut_log(context: StepContext) -> Facts:
    """Write the folders of the log and `live.json` (`infra.live.kept_log`). Returns the numbers of distinct events.

    Raises `LabError` if a file of the cut is missing or unreadable.
    """
    config: EtaConfig = context.config
    keep_cut(LIVE_LOG, context)
    facts: dict[str, int] = {}
    times = []
    with log_errors():
        for folder, schema in (
            (TRIPS, LIVE_TRIPS),
            (TRAVERSALS, LIVE_TRAVERSALS),
            (INCIDENTS, LIVE_INCIDENTS),
            (WEATHER, LIVE_WEATHER),
        ):
            table = read_events(context.out / folder, schema)
            facts[f"{folder}_events"] = len(table)
            times.append(seconds(table["received_ts"].to_numpy()))
    write_cut(context.out, facts, end_ts(config.world), *times)
    return facts


def read_events(folder: Path, schema: pa.Schema) -> pa.Table:
    """The events of a folder, each once, in the order in which the service received them; no rows without a file."""
    table = read_folder(folder)
    return schema.empty_table() if table is None else distinct(table.select(schema.names).cast(schema))


def distinct(table: pa.Table) -> pa.Table:
    """The first received row of each event, in order of time."""
    received, names = seconds(table["received_ts"].to_numpy()), table["event_id"].to_numpy(zero_copy_only=False)
    order = np.lexsort((names.astype(str), received))
    _, first = np.unique(names[order].astype(str), return_index=True)
    return table.take(pa.array(order[np.sort(first)])).combine_chunks()


def read_live_traversals(live: Path) -> TraversalRows:
    """The uploads of the live log; one upload takes the place of a trip in `TraversalRows`."""
    return upload_rows(read_events(live / TRAVERSALS, LIVE_TRAVERSALS))


def upload_rows(table: pa.Table) -> TraversalRows:
    """The rows of a table with the columns of `LIVE_TRAVERSALS`. A traversal is known when its upload is received, and
    never before its end."""
    rows, received_ts = traversal_rows(table), seconds(table["received_ts"].to_numpy())
    return replace(rows, known_ts=np.maximum(received_ts[rows.owner], rows.enter_ts + rows.seconds))


def read_ended_trips(live: Path) -> EndedTrips:
    return ended_trips(read_events(live / TRIPS, LIVE_TRIPS))


def ended_trips(table: pa.Table) -> EndedTrips:
    """The ends among the rows of a table with the columns of `LIVE_TRIPS`, the first one of each trip, in their
    order."""
    ends = table.filter(pc.is_in(table["outcome"], pa.array([ARRIVED, CANCELLED])))
    _, first = np.unique(ends["trip_id"].to_numpy(), return_index=True)
    ends = ends.take(pa.array(np.sort(first))).combine_chunks()
    received_ts, at_ts = (seconds(ends[name].to_numpy()) for name in ("received_ts", "at_ts"))
    return EndedTrips(trip_rows(ends), np.maximum(received_ts, at_ts))


def count_ends(folder: Path) -> int:
    """The number of ends of trips in a folder of the log, repeated ones included."""
    table = read_folder(folder)
    return 0 if table is None else int(pc.sum(pc.is_in(table["outcome"], pa.array([ARRIVED, CANCELLED]))).as_py() or 0)


def unfinished_ts(table: pa.Table) -> Array:
    """float64[k]: the requests of the trips of a table with the columns of `LIVE_TRIPS` that have begun and not
    ended."""
    trip_id, first = np.unique(table["trip_id"].to_numpy(), return_index=True)
    ended = table["trip_id"].to_numpy()[pc.is_in(table["outcome"], pa.array([ARRIVED, CANCELLED])).to_numpy()]
    return seconds(table["request_ts"].to_numpy())[first[~np.isin(trip_id, ended)]]


def read_quotes_of(live: Path, trip_id: Ints) -> dict[int, Quote]:
    """Trip -> its quote, for those trips of int64[n] whose quote is in the log. Most quotes have no trip, so the others
    are left out while the files are read."""
    files = sorted(map(str, (live / QUOTES).rglob("*.parquet")))
    if not files:
        return {}
    wanted = ds.field("quote_id").isin(pa.array(trip_id))
    table = ds.dataset(files, format="parquet").to_table(columns=["quote_id", "event"], filter=wanted)
    return {
        number: Quote(**orjson.loads(text))
        for number, text in zip(table["quote_id"].to_pylist(), table["event"].to_pylist(), strict=True)
    }


def read_live_incidents(live: Path) -> IncidentRows:
    return incidents_of(read_events(live / INCIDENTS, LIVE_INCIDENTS))


def incidents_of(table: pa.Table) -> IncidentRows:
    """One row per incident of a table with the columns of `LIVE_INCIDENTS`.

    A report and a clearance count from the time when the service received them. A clearance without a report is left
    out, because nobody knew of the incident.
    """
    number, received_ts = table["incident_id"].to_numpy(), seconds(table["received_ts"].to_numpy())
    reported_ts, cleared_ts = (seconds(table[name].to_numpy()) for name in ("reported_ts", "cleared_ts"))
    is_report = np.isnan(cleared_ts)
    cleared = np.full(len(number), np.nan)
    ends = np.flatnonzero(~is_report)
    at_ts = np.maximum(cleared_ts, received_ts)
    first_end = {int(number[row]): float(at_ts[row]) for row in ends[::-1]}
    reports = np.flatnonzero(is_report)
    _, first = np.unique(number[reports], return_index=True)
    reports = reports[np.sort(first)]
    cleared[reports] = [first_end.get(int(one), np.nan) for one in number[reports]]
    known = table.take(pa.array(reports)).select(INCIDENT_SCHEMA.names)
    for name, values in (("reported_ts", np.maximum(reported_ts, received_ts)), ("cleared_ts", cleared)):
        known = known.set_column(known.schema.get_field_index(name), name, timestamps(values[reports]))
    return incident_rows(known)


def read_live_weather(live: Path) -> tuple[Array, Array]:
    """(`at_ts`, `rain`) float64[n] in order of `at_ts`: rain of the live log."""
    return weather_of(read_events(live / WEATHER, LIVE_WEATHER))


def weather_of(table: pa.Table) -> tuple[Array, Array]:
    at_ts, rain = seconds(table["at_ts"].to_numpy()), table["rain"].to_numpy().astype(np.float64)
    order = np.argsort(at_ts, kind="stable")
    return at_ts[order], rain[order]
