"""The effect that refreshes features: every `speeds_every_s` it writes the state of the roads, and about once a second
it pushes new rows of drivers whose trips have arrived.

It uses the functions of the offline step. A state or a row has a whole second t as its time and includes what the
service received until t. The history and the live log determine all of it, so a kill at any moment loses nothing: a
restart reads the log, resumes after it, and pushes the rows of all drivers with trips in the log.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from eta_prediction.config import EtaConfig
from eta_prediction.events.history import read_incidents, read_weather
from eta_prediction.events.live_history import ended_trips, read_ended_trips, read_events
from eta_prediction.events.paths import INCIDENTS, QUOTES, TRAVERSALS, TRIPS, WEATHER
from eta_prediction.events.rows import (
    LIVE_INCIDENTS,
    LIVE_TRAVERSALS,
    LIVE_WEATHER,
    incident_event_rows,
    traversal_event_rows,
    trip_event_rows,
    weather_event_rows,
)
from eta_prediction.events.schemas import TOPICS, Incident, Quote, SpeedsMade, Traversals, Trip, Weather
from eta_prediction.features.driver_row import VIEW
from eta_prediction.features.views import open_store
from eta_prediction.items.city import City, open_city
from eta_prediction.items.road_state import RoadState
from eta_prediction.worker.append_log import FORGOTTEN, TrafficLog, read_recent
from eta_prediction.worker.driver_log import DriverLog, read_finished
from eta_prediction.worker.metrics import OnlineMetrics
from infra.live.clock import WorldClock
from infra.registry.release import CURRENT, Release, read_release
from infra.settings import Settings
from infra.stream.consumer import Received
from infra.stream.event import Event
from infra.stream.refresh_timing import SETTLE_S, AppliedOffsets, Refresher
from infra.stream.sink import files_of

log = logging.getLogger(__name__)
FOLDERS = {
    TOPICS.quotes: QUOTES,
    TOPICS.trips: TRIPS,
    TOPICS.traversals: TRAVERSALS,
    TOPICS.incidents: INCIDENTS,
    TOPICS.weather: WEATHER,
}
"""Topic -> the folder of the live log that holds its events."""
REMEMBERED = 50_000
"""number of recent events to keep; the log sink has written all older ones"""
AnyEvent = Quote | Trip | Traversals | Incident | Weather


class Store(Protocol):
    """The part of a feature store that the effect writes to."""

    def push(self, view: str, rows: Any) -> None: ...


class FeatureEffect:
    """See `infra.stream.consumer.Effect`. `state` is the file of the roads' state; `offer` publishes an event."""

    def __init__(
        self, settings: Settings, root: Path, live: Path, state: Path, config: EtaConfig, clock: WorldClock,
        metrics: OnlineMetrics, offer: Callable[[str, Callable[[], Event]], object],
    ) -> None:  # fmt: skip
        self._settings, self._root, self._live, self._path, self._config = settings, root, live, state, config
        self._clock, self._metrics, self._offer = clock, metrics, offer
        self._release: Release | None = None
        self._city: City
        self._traffic: TrafficLog
        self._drivers: DriverLog
        self._store: Store
        self._late, self._made_ts = 0, 0.0
        self._recent: deque[AnyEvent] = deque(maxlen=REMEMBERED)
        self._timing, self._offsets = Refresher(root, clock), AppliedOffsets()

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        """Return the offsets to resume from. The first call loads the log and resumes after it; later calls resume
        after the last applied events."""
        is_first = self._release is None
        if is_first:
            self._offsets.start(epoch, self._live, FOLDERS)
            self._load(read_release(self._root))
        self._timing.resume()
        return self._offsets.resume(epoch, is_first=is_first)

    def known(self) -> Iterable[str]:
        return ()

    def apply(self, batch: Sequence[Received]) -> None:
        self._timing.take(batch)
        events: list[AnyEvent] = [received.event for received in batch]
        self._metrics.count_quotes([event for event in events if isinstance(event, Quote)])
        self._metrics.count_trips([event for event in events if isinstance(event, Trip)])
        self._take(events, is_new=True)
        self._offsets.take(batch)

    def tick(self) -> None:
        """Write the roads' state and push rows if a refresh is due. If the store is unavailable, the effect keeps the
        trips and retries; the state of the roads does not need the store."""
        release = self._timing.new_release(self._release)
        if release is not None:
            self._load(release)
        at_ts = self._timing.due_ts(has_new=self._drivers.has_new or self._is_due(self._clock.now() - SETTLE_S))
        if at_ts is not None:
            self.try_refresh(at_ts)

    def try_refresh(self, at_ts: float) -> None:
        """Refresh as of `at_ts`. If the store is unavailable, the next call retries."""
        with self._timing.refreshing(at_ts):
            self.refresh(at_ts)

    def refresh(self, at_ts: float) -> None:
        """Write the state of the roads as of `at_ts` if it is due, and push the rows of drivers with new trips."""
        if self._is_due(at_ts):
            self._write_state(at_ts)
        drivers = self._drivers.due(at_ts)
        if len(drivers):
            self._store.push(VIEW, self._drivers.rows(self._city.features, at_ts, drivers))
            self._drivers.pushed(drivers, at_ts)

    def _is_due(self, at_ts: float) -> bool:
        return at_ts - self._made_ts >= self._city.features.speeds_every_s

    def _write_state(self, at_ts: float) -> None:
        speeds = self._traffic.speeds(self._city.features, self._city.forecast, at_ts, snapshot_id=int(at_ts))
        RoadState.of(speeds, self._traffic.incidents()).write(self._path)
        made = SpeedsMade(speeds.snapshot_id, at_ts, self._path.name, float(speeds.observed.sum()), self._late)
        self._offer(TOPICS.speeds, lambda: made)
        self._metrics.made(speeds)
        self._late, self._made_ts = 0, at_ts

    def _take(self, events: Sequence[AnyEvent], *, is_new: bool) -> None:
        """Apply events. Those that a restart reads again, or that are already applied, change no counter."""
        uploads = [event for event in events if isinstance(event, Traversals)]
        trips = [event for event in events if isinstance(event, Trip)]
        incidents = [event for event in events if isinstance(event, Incident)]
        weather = [event for event in events if isinstance(event, Weather)]
        arrivals = self._drivers.add_quotes([event for event in events if isinstance(event, Quote)])
        if trips:
            arrivals += self._drivers.add_ends(ended_trips(trip_event_rows(trips)))
        self._drivers.forget_oldest()
        late = self._traffic.add(traversal_event_rows(uploads)) if uploads else 0
        if incidents:
            self._traffic.add_incidents(incident_event_rows(incidents))
        if weather:
            self._traffic.add_weather(weather_event_rows(weather))
        if is_new:
            self._recent.extend(events)
            self._late += late
            self._metrics.judge(arrivals)
            self._metrics.count_traversals(sum(len(event.edges) for event in uploads), late)

    def _load(self, release: Release) -> None:
        """Rebuild the whole state for this release, from the history and the live log."""
        steps = json.loads((self._root / CURRENT).read_text())
        world, config = Path(steps["world"]), self._config
        self._city = open_city(Path(release.index_path))
        self._store = open_store(Path(release.features_path), self._settings, online_only=True)
        self._clock.at_least(release.world_now)
        self._timing.begin(release)
        half_life_s = 60 * self._city.features.residual_half_life_min
        from_ts = self._clock.now() - FORGOTTEN * half_life_s
        history = read_incidents(world, config.world), read_weather(world, config.world)
        self._traffic = TrafficLog(self._city.graph, self._city.profile, half_life_s, from_ts, *history)
        self._traffic.add_driven(read_recent(world, config.world, from_ts))
        self._traffic.add(read_uploads(self._live, from_ts))
        self._traffic.add_incidents(read_events(self._live / INCIDENTS, LIVE_INCIDENTS))
        self._traffic.add_weather(read_events(self._live / WEATHER, LIVE_WEATHER))
        route_time = self._city.route_time
        self._drivers = DriverLog(route_time, read_finished(Path(steps["features"]), route_time))
        self._drivers.add_ends(read_ended_trips(self._live))
        for quotes in read_quotes(self._live):
            self._drivers.add_quotes(quotes)
        self._take(list(self._recent), is_new=False)  # events that the log sink has not written yet
        self._release, self._made_ts = release, 0.0
        pa.default_memory_pool().release_unused()
        log.info("speeds of release %s from the traversals since %.0f", release.model_version, from_ts)


def read_uploads(live: Path, from_ts: float) -> pa.Table:
    """The uploads of the live log that the service received after about `from_ts`. Older files are not read: the path
    of a file contains the hour in which it was written."""
    at = datetime.fromtimestamp(from_ts, UTC)
    oldest = f"date={at.date()}/hour={at.hour:02d}"
    folder = live / TRAVERSALS
    files = [file for file in files_of(folder) if file.parent.relative_to(folder).as_posix() >= oldest]
    tables = [pq.read_table(file, partitioning=None).select(LIVE_TRAVERSALS.names) for file in files]
    return pa.concat_tables([LIVE_TRAVERSALS.empty_table(), *(table.cast(LIVE_TRAVERSALS) for table in tables)])


def read_quotes(live: Path) -> Iterable[Sequence[Quote]]:
    """The quotes of the live log, file by file."""
    for file in files_of(live / QUOTES):
        texts = pq.read_table(file, columns=["event"], partitioning=None)["event"].to_pylist()
        yield [Quote(**orjson.loads(text)) for text in texts]
