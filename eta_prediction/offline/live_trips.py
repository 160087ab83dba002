"""Trips of the live log that a build learns from: the inputs that their quotes served, and the times that they took.

A quote logs its inputs as of its departure, so the inputs of a live trip need no second computation: they contain no
event of the future, and they cannot differ from what was served. They join the end of the trip by the quote's id. A
quote with missing inputs teaches nothing, nor does one whose inputs have another definition than those of this build
(`items.city.inputs_digest`). Since nothing is joined, each build reads the whole cut: a trip needs its quote, which may
be in a file of an earlier build.

Live trips teach the places, the drivers and the models with their corrected routes. They do not teach the usual
traffic, the speed forecast, the mean life of an incident, the route time and the great circle. Those need whole days of
traversals from the whole city, and a live log may cover two hours of one Tuesday. They also define the inputs: if they
changed with every build, the logged inputs would have a definition that no later model sees.

Labels arrive late. Of trips that departed a moment ago, only the short ones have ended (knob `label_cut`). The same
holds for the last trips before the lab stopped. The trips of half an hour therefore count once nearly all of those that
were picked up have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from eta_prediction.config import EtaConfig
from eta_prediction.domain import EXPLORE_POLICY, NONE, Array, Bools, Ints, RoadGraph
from eta_prediction.events.codec import inputs_of
from eta_prediction.events.history import GRAPH
from eta_prediction.events.live_history import count_ends, ended_trips, read_events, read_quotes_of, unfinished_ts
from eta_prediction.events.paths import TRIPS
from eta_prediction.events.rows import LIVE_TRIPS
from eta_prediction.events.schemas import Quote
from eta_prediction.features.driver_row import FinishedTrips
from eta_prediction.features.places import Places
from eta_prediction.features.route_time import RouteTime, noise_s
from eta_prediction.items.city import DEFINING, inputs_digest
from eta_prediction.model.inputs import NAMES, Floats, column, route_of
from infra.columns import DAY_S
from infra.live.kept_log import log_errors, read_until
from infra.registry.manifest import file_digest

FILE = "live_trips.npz"
HALF_HOUR_S = 1_800.0
MOST_UNFINISHED = 0.05
"""share of a half hour's trips without an end, up to which its other trips count"""


@dataclass(frozen=True)
class LiveTrips:
    """n arrived trips whose quotes have inputs, in the order in which their ends were received.

    `x` float32[n, NAMES] are the inputs as served, `seconds` float64[n] is the label, known at `known_ts`. `is_sound`
    marks trips that may teach places and models, `is_complete` those of half hours whose trips have ended. `skipped` is
    the number of trips by the reason why they teach neither.
    """

    trip_id: Ints
    departure_ts: Array
    known_ts: Array
    seconds: Array
    origin: Ints
    destination: Ints
    ride_type: Ints
    driver_id: Ints
    served_driver_id: Ints
    is_explore: Bools
    is_sound: Bools
    is_complete: Bools
    x: Floats
    skipped: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.trip_id)

    def take(self, rows: Ints | Bools) -> LiveTrips:
        return LiveTrips(**{name: values[rows] for name, values in self._arrays().items()}, skipped=self.skipped)

    def write(self, path: Path) -> None:
        np.savez(path, **self._arrays())

    @classmethod
    def read(cls, path: Path) -> LiveTrips:
        """The trips in a file of `write`. The file does not contain `skipped`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in stored.files}, skipped={})

    def _arrays(self) -> dict[str, Any]:
        return {name: values for name, values in vars(self).items() if name != "skipped"}


def read_live_trips(live: Path | None, world: Path, features: Path, config: EtaConfig) -> LiveTrips:
    """The trips of the cut in `live`, the output of that step; no trips without the step. `world` and `features` are
    the outputs of those steps, whose files define the inputs. Raises `LabError` for a damaged file."""
    with log_errors():
        events = LIVE_TRIPS.empty_table() if live is None else read_events(live / TRIPS, LIVE_TRIPS)
        if live is None or not len(events):
            return live_trips(events, {}, "", 0.0, 0)
        quotes, ends = read_quotes_of(live, events["trip_id"].to_numpy()), count_ends(live / TRIPS)
    return live_trips(events, quotes, definition(world, features, config), read_until(live), ends)


def definition(world: Path, features: Path, config: EtaConfig) -> str:
    """The name of the definition of this build's inputs, which its quotes will log."""
    files = {name: file_digest((world if name == GRAPH else features) / name) for name in DEFINING}
    return inputs_digest(files, config.features)


def live_trips(events: pa.Table, quotes: Mapping[int, Quote], digest: str, until_ts: float, ends: int) -> LiveTrips:
    """`events` are the distinct rows with the columns of `LIVE_TRIPS`; `ends` ends were received, repeated ones
    included. `digest` names the definition of the inputs."""
    ended, on_the_way_ts = ended_trips(events), unfinished_ts(events)
    trips, skipped = ended.trips, Counter({"repeated": ends - len(ended.trips), "not_arrived": len(on_the_way_ts)})
    is_complete = complete(trips.request_ts, trips.is_arrived, on_the_way_ts)
    kept: list[tuple[int, Quote, Floats, bool]] = []
    for row, trip in enumerate(trips.trip_id.tolist()):
        quote = quotes.get(trip)
        if not trips.is_arrived[row] or quote is None:
            skipped["no_quote" if trips.is_arrived[row] else "cancelled"] += 1
            continue
        x = inputs_of(quote.x)
        if x.shape[1] != len(NAMES):
            skipped["no_route"] += 1
            continue
        reason = unsound(quote, float(trips.arrival_ts[row]), digest)
        if not reason and ended.known_ts[row] > until_ts:
            reason = "not_known"
        kept.append((row, quote, x, not reason))
        if reason or not is_complete[row]:
            skipped[reason or "label_delay"] += 1
    rows, served = np.array([row for row, _, _, _ in kept], np.int64), [quote for _, quote, _, _ in kept]
    departure_ts = np.array([quote.departure_ts for quote in served], np.float64)

    def of_quotes(name: str) -> Ints:
        return np.array([getattr(quote, name) for quote in served], np.int64)

    return LiveTrips(
        trip_id=trips.trip_id[rows],
        departure_ts=departure_ts,
        known_ts=ended.known_ts[rows],
        seconds=trips.arrival_ts[rows] - departure_ts,
        origin=of_quotes("origin"),
        destination=of_quotes("destination"),
        ride_type=of_quotes("ride_type"),
        driver_id=of_quotes("driver_id"),
        served_driver_id=trips.served_driver_id[rows],
        is_explore=np.array([quote.policy == EXPLORE_POLICY for quote in served], np.bool_),
        is_sound=np.array([is_sound for _, _, _, is_sound in kept], np.bool_),
        is_complete=is_complete[rows],
        x=np.concatenate([np.zeros((0, len(NAMES)), np.float32), *(x for _, _, x, _ in kept)]),
        skipped=dict(+skipped),
    )


def unsound(quote: Quote, arrival_ts: float, digest: str) -> str:
    """Why a trip with inputs may not teach places and models, or the empty string."""
    if arrival_ts <= quote.departure_ts:
        return "no_time"
    if quote.degraded:
        return "degraded"
    if quote.traffic != "live":
        return "no_traffic"
    return "" if quote.inputs_digest == digest else "other_inputs"


def complete(request_ts: Array, is_arrived: Bools, on_the_way_ts: Array) -> Bools:
    """bool[n]: trips requested in a half hour whose trips have nearly all ended. `on_the_way_ts` float64[k] are the
    requests of trips that were picked up and have not ended."""
    half = np.floor(np.r_[request_ts, on_the_way_ts] / HALF_HOUR_S)
    _, at = np.unique(half, return_inverse=True)
    unfinished = np.bincount(at[len(request_ts) :], minlength=len(half))
    arrived = np.bincount(at[: len(request_ts)][is_arrived], minlength=len(half))
    found: Bools = (unfinished <= MOST_UNFINISHED * (unfinished + arrived))[at[: len(request_ts)]]
    return found


def with_live_trips(places: Places, trips: LiveTrips, graph: RoadGraph, route_time: RouteTime) -> Places:
    """`places` after the trips that may teach them, day by day as in the history."""
    trips = trips.take(trips.is_sound & trips.is_complete)
    road_s, noise = _on_the_road(route_time, trips)
    surplus_s = trips.seconds - road_s - route_time.fixed_s(trips.ride_type)
    origin, destination = graph.cell[trips.origin], graph.cell[trips.destination]
    day = np.floor(trips.known_ts / DAY_S)
    for one in np.unique(day):
        rows = day == one
        places = places.with_trips(origin[rows], destination[rows], surplus_s[rows], noise[rows])
    return places


def finished_live(trips: LiveTrips, route_time: RouteTime) -> FinishedTrips:
    """The trips for the rows of drivers. They are those that the worker counts (`worker.driver_log`), so that a row of
    the build equals the worker's: every trip whose quote has inputs, from the time when its end was received."""
    trips = trips.take(trips.served_driver_id != NONE)
    road_s, noise = _on_the_road(route_time, trips)
    kerbs_s = route_time.fixed_s(trips.ride_type) + column(trips.x, "pick_up_s") + column(trips.x, "drop_off_s")
    return FinishedTrips.of(trips.served_driver_id, trips.known_ts, trips.seconds - road_s - kerbs_s, noise, road_s)


def _on_the_road(route_time: RouteTime, trips: LiveTrips) -> tuple[Array, Array]:
    """(time between the kerbs, standard deviation of a trip's time around the prediction) float64[n]."""
    road_s = route_time.road_s(route_of(trips.x))
    return road_s, noise_s(road_s, trips.ride_type)
