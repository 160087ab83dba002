"""Steps `materialize` and `sample`: fill the online store, and write the trips from which models learn.

The step `features` has computed what was known at each departure, but for the driver, whose row Feast joins as of the
departure. Only arrived trips have a label. Trips of the live log join the training trips with the inputs that were
served (`offline.live_trips`). The holdout contains days of the history only, so that all models are compared on the
same trips and the oracle knows their true law.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eta_prediction.config import EtaConfig
from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.features.views import (
    DRIVER_FEATURES,
    ONLINE_VIEWS,
    STORED,
    DriverFeatures,
    drivers_from_frame,
    open_store,
)
from eta_prediction.model.inputs import TripInputs, assemble, column
from eta_prediction.offline.feature_tables import trip_file
from eta_prediction.offline.live_trips import FILE as LIVE_TRIPS
from eta_prediction.offline.live_trips import HALF_HOUR_S, LiveTrips
from eta_prediction.offline.rerouting import reroute
from eta_prediction.offline.traffic_history import training_days
from eta_prediction.offline.trip_table import TripTable
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S
from infra.feature_store.port import OfflineFeatures
from infra.feature_store.repository import materialize_views
from infra.live.kept_log import read_until
from infra.simulation.streams import end_ts, start_ts
from infra.training.row_mix import first_day_of, oldest_ts

TRAIN, HOLDOUT, FRESH = "train.npz", "holdout.npz", "fresh.npz"
FRESH_TRIPS, HELD_OUT = 20_000, 10
"""most fresh trips; without explored quotes, one of so many live trips is fresh"""
JOINED_AT_ONCE = 150_000


@dataclass(frozen=True)
class Sample:
    """n arrived trips. `x` float32[n, NAMES] are the inputs as of the departure, `seconds` float64[n] is the label.

    `base_s` float64[n] is the route at the live speeds, `static_s` at the usual ones. `day` int64[n] counts from the
    start of the history. `is_explore` bool[n] marks trips whose quote was random.
    """

    trip_id: Ints
    day: Ints
    departure_ts: Array
    origin: Ints
    destination: Ints
    ride_type: Ints
    driver_id: Ints
    is_explore: Bools
    x: npt.NDArray[np.float32]
    base_s: Array
    static_s: Array
    seconds: Array

    def __len__(self) -> int:
        return len(self.trip_id)

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Sample:
        with np.load(path, allow_pickle=False) as stored:
            return cls(*(stored[item.name] for item in fields(cls)))

    def take(self, rows: Ints | Bools) -> Sample:
        return Sample(*(getattr(self, item.name)[rows] for item in fields(self)))

    def newest(self, most: int) -> Sample:
        return self.take(np.sort(np.argsort(self.departure_ts, kind="stable")[-most:]))

    @classmethod
    def joined(cls, parts: list[Sample]) -> Sample:
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


def materialize(context: StepContext) -> Facts:
    """Step `materialize`: declare the view to Feast and write the newest row of each driver to the online store."""
    live = context.inputs.get("live")
    until_ts = read_until(live) if live else end_ts(context.config.world)
    return {"online_drivers": materialize_views(STORED, ONLINE_VIEWS, context, until_ts)}


def write_samples(context: StepContext) -> Facts:
    """Step `sample`: write `train.npz` and `holdout.npz`, and `fresh.npz` if the live log has trips for the gate.

    Training leaves out the trips before the window (`train_days`). They still define the inputs (`features`).
    """
    config: EtaConfig = context.config
    store = open_store(context.inputs["materialize"], context.settings)
    features, days, first = context.inputs["features"], config.world.days, training_days(config)
    live_cut = context.inputs.get("live")
    until_ts = read_until(live_cut) if live_cut else end_ts(config.world)
    # two days at least: each network does without one block of days
    first_train = first_day_of(config.world, until_ts, config.sample.train_days, 0, max(first - 1, 1))
    parts: dict[str, list[Sample]] = {TRAIN: [], HOLDOUT: []}
    waiting: list[tuple[int, TripTable]] = []
    for day in range(days):
        waiting.append((day, TripTable.read(trip_file(features, day))))
        if day < days - 1 and sum(len(table) for _, table in waiting) < JOINED_AT_ONCE:
            continue
        for of_day, sample in zip((d for d, _ in waiting), join(store, waiting), strict=True):
            if first_train <= of_day < first:
                parts[TRAIN].append(sample.take(has_label(config, sample)))
            elif of_day >= first:
                parts[HOLDOUT].append(sample)
        context.report((day + 1) / days, f"{day + 1} days")
        waiting = []
    live = LiveTrips.read(features / LIVE_TRIPS)
    is_fresh = fresh_trips(live)
    oldest = oldest_ts(until_ts, config.sample.train_days)
    parts[TRAIN].append(sample_of_live(config, live.take(~is_fresh & (live.departure_ts >= oldest))))
    complete = replace(config, sample=replace(config.sample, label_cut="all"))
    fresh = sample_of_live(complete, live.take(is_fresh)).newest(FRESH_TRIPS)
    if len(fresh):
        fresh.write(context.out / FRESH)
    facts: dict[str, float | int | str] = {"live_trips": len(parts[TRAIN][-1]), "fresh_trips": len(fresh)}
    for name, samples in parts.items():
        whole = Sample.joined(samples)
        whole.write(context.out / name)
        facts |= {f"{name.removesuffix('.npz')}_trips": len(whole)}
    again = reroute(context.inputs["world"], features, config)
    return facts | {"rerouted_share": round(again.share, 4), "rerouted_saves": round(again.saved, 4)}


def join(store: OfflineFeatures, days: list[tuple[int, TripTable]]) -> list[Sample]:
    """The trips of each day, in their order, with the row of the driver as of the departure."""
    keys = pd.DataFrame({"driver_id": np.concatenate([table.driver_id for _, table in days])})
    departure_ts = np.concatenate([table.departure_ts for _, table in days])
    keys["event_ts"] = pd.to_datetime((departure_ts * 1e6).astype(np.int64), unit="us", utc=True)
    drivers = drivers_from_frame(store.join(keys, DRIVER_FEATURES), keys["driver_id"].to_numpy())
    ends = np.cumsum([len(table) for _, table in days])
    return [
        sample_of(day, table, DriverFeatures(*(values[end - len(table) : end] for values in vars(drivers).values())))
        for (day, table), end in zip(days, ends.tolist(), strict=True)
    ]


def sample_of(day: int, table: TripTable, drivers: DriverFeatures) -> Sample:
    trips = TripInputs(
        route=table.route,
        hour=table.hour,
        rain=table.rain,
        pick_up_s=table.pick_up_s,
        drop_off_s=table.drop_off_s,
        event=table.event,
        event_min=table.event_min,
        ride_type=table.ride_type,
        driver=drivers,
    )
    return Sample(
        trip_id=table.trip_id,
        day=np.full(len(table), day, np.int64),
        departure_ts=table.departure_ts,
        origin=table.origin,
        destination=table.destination,
        ride_type=table.ride_type,
        driver_id=table.driver_id,
        is_explore=table.is_explore,
        x=assemble(trips),
        base_s=table.route.live_s,
        static_s=table.route.profile_s,
        seconds=table.seconds,
    )


def sample_of_live(config: EtaConfig, trips: LiveTrips) -> Sample:
    """The live trips with a label. Their days come after the history, of which the last ones are the holdout."""
    is_labelled = trips.is_complete
    if config.sample.label_cut == "arrived":
        is_labelled = arrives_soon(trips.departure_ts, trips.departure_ts + trips.seconds)
    trips = trips.take(trips.is_sound & is_labelled)
    return Sample(
        trip_id=trips.trip_id,
        day=np.floor((trips.departure_ts - start_ts(config.world)) / DAY_S).astype(np.int64),
        departure_ts=trips.departure_ts,
        origin=trips.origin,
        destination=trips.destination,
        ride_type=trips.ride_type,
        driver_id=trips.driver_id,
        is_explore=trips.is_explore,
        x=trips.x,
        base_s=column(trips.x, "live_s"),
        static_s=column(trips.x, "profile_s"),
        seconds=trips.seconds,
    )


def fresh_trips(live: LiveTrips) -> Bools:
    """bool[n]: live trips that no model learns from, for the gate.

    They are the trips with an explored quote: riders cancel late quotes, so the other trips that happen depend on the
    model. A live log without explored quotes gives one of `HELD_OUT` trips, the same ones in each build.
    """
    if live.is_explore.any():
        return live.is_explore
    found: Bools = live.trip_id % HELD_OUT == 0
    return found


def has_label(config: EtaConfig, sample: Sample) -> Bools:
    """bool[n]: trips that a training knows to have arrived. All of them, before the holdout begins.

    With the knob `label_cut` at "arrived", training runs every half hour on the trips that departed since the last one.
    Of those, only trips that have arrived have a label, and they are short.
    """
    arrival_ts = sample.departure_ts + sample.seconds
    if config.sample.label_cut == "arrived":
        return arrives_soon(sample.departure_ts, arrival_ts)
    return arrival_ts <= start_ts(config.world, training_days(config))


def arrives_soon(departure_ts: Array, arrival_ts: Array) -> Bools:
    """bool[n]: trips that arrive before the end of the half hour in which they depart."""
    found: Bools = arrival_ts <= np.ceil(departure_ts / HALF_HOUR_S) * HALF_HOUR_S
    return found
