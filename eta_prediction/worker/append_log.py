"""What the worker knows of the traffic, in memory: decayed sums of traversals, incidents and rain.

The sums at a time depend on the traversals known by then, for any order of arrival, and equal those that a build
computes (`features.residuals`). A traversal that arrives late changes later sums only.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from eta_prediction.config import FeatureConfig, WorldConfig
from eta_prediction.domain import Array, Ints, RoadGraph
from eta_prediction.events.history import IncidentRows, TraversalRows, traversal_rows
from eta_prediction.events.live_history import distinct, incidents_of, upload_rows, weather_of
from eta_prediction.events.rows import LIVE_INCIDENTS, LIVE_WEATHER
from eta_prediction.features.edge_residuals import EdgeSums
from eta_prediction.features.forecast import SpeedForecast
from eta_prediction.features.profile import Profile
from eta_prediction.features.residuals import Residuals, added_sums, nothing, probes_of
from eta_prediction.features.speeds import Speeds, make_speeds
from infra.columns import DAY_S, HOUR_S, seconds
from infra.simulation.days import day_file
from infra.simulation.streams import start_ts

FORGOTTEN = 20.0
"""half-lives after which a traversal counts as good as nothing"""
LONGEST_S = 3 * HOUR_S
"""a trip of the history departed at most so long before its last traversal"""
LATE_S = 300.0
"""a traversal is late if it becomes known so long after its end"""
REMEMBERED = 200_000
"""number of recent uploads whose repetition is recognised"""


@dataclass(frozen=True)
class Driven:
    """Traversals: `edge` int64[m]; `enter_ts`, `seconds` and `known_ts` float64[m]."""

    edge: Ints
    enter_ts: Array
    seconds: Array
    known_ts: Array

    @classmethod
    def of(cls, rows: TraversalRows) -> Driven:
        return cls(rows.edge, rows.enter_ts, rows.seconds, rows.known_ts)

    def take(self, rows: Ints) -> Driven:
        return Driven(self.edge[rows], self.enter_ts[rows], self.seconds[rows], self.known_ts[rows])

    @classmethod
    def joined(cls, parts: list[Driven]) -> Driven:
        if not parts:
            return cls(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(3)))
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


class TrafficLog:
    """Starts without traffic at `at_ts`. `incidents` and `weather` are those of the history. Not thread-safe."""

    def __init__(
        self, graph: RoadGraph, profile: Profile, half_life_s: float, at_ts: float, incidents: IncidentRows,
        weather: tuple[Array, Array],
    ) -> None:  # fmt: skip
        self._graph, self._profile, self._half_life_s = graph, profile, half_life_s
        self._state: Residuals = nothing(at_ts)
        self._edges = EdgeSums.nothing(at_ts, graph.edges)
        self._pending: list[Driven] = []
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._incidents, self._weather = incidents, weather
        self._incident_events, self._weather_events = LIVE_INCIDENTS.empty_table(), LIVE_WEATHER.empty_table()

    @property
    def at_ts(self) -> float:
        """The time of the newest speeds."""
        return self._state.at_ts

    def add_driven(self, driven: Driven) -> None:
        """Add traversals that have no event, such as those of the history."""
        self._pending.append(driven.take(np.flatnonzero((driven.edge >= 0) & (driven.edge < self._graph.edges))))

    def add(self, uploads: pa.Table) -> int:
        """Add new uploads (columns of `LIVE_TRAVERSALS`). Returns the number of late traversals among them."""
        new = []
        for row, name in enumerate(uploads["event_id"].to_pylist()):
            if name not in self._seen:
                self._seen[name] = None
                new.append(row)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if not new:
            return 0
        driven = Driven.of(upload_rows(uploads.take(pa.array(new))))
        self.add_driven(driven)
        return int((driven.known_ts - driven.enter_ts - driven.seconds > LATE_S).sum())

    def add_incidents(self, events: pa.Table) -> None:
        """Add events with the columns of `LIVE_INCIDENTS`."""
        self._incident_events = distinct(pa.concat_tables([self._incident_events, events]))

    def add_weather(self, events: pa.Table) -> None:
        """Add events with the columns of `LIVE_WEATHER`. Those up to the last observation of the history are left out:
        the rain of the history does not change."""
        is_new = seconds(events["at_ts"].to_numpy()) > self._weather[0].max(initial=-np.inf)
        events = events.filter(pa.array(is_new))
        self._weather_events = distinct(pa.concat_tables([self._weather_events, events]))

    def speeds(self, config: FeatureConfig, forecast: SpeedForecast, at_ts: float, snapshot_id: int) -> Speeds:
        """The speeds at `at_ts`, which is not before the last ones."""
        self._advance(at_ts)
        rain = float(self._rain(np.array([at_ts]))[0])
        edges = self._edges if config.probe_smoothing == "edge" else None
        return make_speeds(config, self._profile, forecast, self._state, snapshot_id, rain, edges)

    def incidents(self) -> IncidentRows:
        """All incidents that were reported, those of the history first."""
        live = incidents_of(self._incident_events)
        return IncidentRows(
            *(
                np.concatenate([getattr(rows, item.name) for rows in (self._incidents, live)])
                for item in fields(IncidentRows)
            )
        )

    def _advance(self, to_ts: float) -> None:
        """Move the sums to `to_ts`, with the traversals known by then."""
        driven = Driven.joined(self._pending)
        is_known = driven.known_ts <= to_ts
        known = driven.take(np.flatnonzero(is_known))
        self._pending = [driven.take(np.flatnonzero(~is_known))]
        probes = probes_of(
            self._graph, self._profile, known.edge, known.enter_ts, known.seconds, self._rain(known.enter_ts)
        )
        now = np.zeros(len(known.edge), np.int64)
        added = added_sums(probes, self._profile, now, np.array([to_ts]), self._half_life_s)[0]
        self._state = self._state.advanced(to_ts, added, self._half_life_s)
        self._edges = self._edges.advanced(to_ts, self._profile, probes, known.edge, self._half_life_s)

    def _rain(self, at_ts: Array) -> Array:
        """float64[m]: the newest observation by each time."""
        known = (np.concatenate(pair) for pair in zip(self._weather, weather_of(self._weather_events), strict=True))
        begin_ts, rain = known
        if not len(begin_ts):
            return np.zeros(len(at_ts))
        order = np.argsort(begin_ts, kind="stable")
        row = np.searchsorted(begin_ts[order], at_ts, "right") - 1
        found: Array = rain[order][np.maximum(row, 0)]
        return found


def read_recent(world: Path, config: WorldConfig, from_ts: float) -> Driven:
    """The traversals of the history that became known after `from_ts`."""
    parts = []
    for day in range(config.days):
        if start_ts(config, day) + DAY_S + LONGEST_S < from_ts:
            continue
        file = day_file(world / "traversals", start_ts(config, day))
        departure = pa.scalar(int((from_ts - LONGEST_S) * 1e6), pa.timestamp("us", tz="UTC"))
        rows = traversal_rows(ds.dataset(file).to_table(filter=ds.field("departure_ts") >= departure))
        driven = Driven.of(rows)
        parts.append(driven.take(np.flatnonzero(driven.known_ts > from_ts)))
    return Driven.joined(parts)
