"""The traffic of the history: the usual one, learned from the training days, and the speeds of every minute.

The traversals are read twice, one day at a time: first summed by group and traffic step, then as residuals that decay
from minute to minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.domain import GROUPS, Array, RoadGraph
from eta_prediction.events.history import read_traversals
from eta_prediction.features.forecast import SpeedForecast
from eta_prediction.features.probes import STEP_S, Cells, EdgeSums, cells_of, step_of
from eta_prediction.features.profile import Profile, fit_profile
from eta_prediction.features.residuals import PARTS, Probes, added_sums, nothing, probes_of, run
from eta_prediction.features.speeds import EVERY_S, FORECAST, OBSERVED, speeds_of
from eta_prediction.offline.fit_forecast import fit_forecast
from infra.columns import DAY_S
from infra.simulation.streams import start_ts

STEPS_A_DAY, MINUTES_A_DAY = int(DAY_S / STEP_S), int(DAY_S / EVERY_S)
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Profiles:
    """`final` is learned from all training days and serves later days. `by_day` has a profile for each day of the
    history; that of a training day is learned from the other training days."""

    final: Profile
    by_day: list[Profile]


def training_days(config: EtaConfig) -> int:
    return max(config.world.days - config.sample.holdout_days, 1)


def learn_profiles(world: Path, config: EtaConfig, graph: RoadGraph, rain: Array, report: Report) -> Profiles:
    """`rain` float64[steps] of the whole history."""
    days, sums = training_days(config), []
    for day in range(days):
        rows = read_traversals(world, config.world, day)
        sums.append(cells_of(graph, rows, start_ts(config.world, day), STEPS_A_DAY))
        report((day + 1) / days, f"usual traffic of day {day + 1}")
    final = _fitted(config, sums, rain, range(days))
    if days == 1:
        return Profiles(final, [final] * config.world.days)
    apart = [_fitted(config, sums, rain, [other for other in range(days) if other != day]) for day in range(days)]
    return Profiles(final, apart + [final] * (config.world.days - days))


def _fitted(config: EtaConfig, sums: list[tuple[Cells, EdgeSums]], rain: Array, days: range | list[int]) -> Profile:
    of_day = rain.reshape(-1, STEPS_A_DAY)
    edges = reduce(EdgeSums.plus, (sums[day][1] for day in days))
    cells = Cells(
        *(np.concatenate([getattr(sums[day][0], name) for day in days]) for name in ("middle_ts", "count", "total"))
    )
    return fit_profile(cells, np.concatenate([of_day[day] for day in days]), edges, config.world.time_zone)


@dataclass(frozen=True)
class Followed:
    """What the second pass finds: `sums` float64[minutes, PARTS, groups] as of the beginning of each minute, and the
    `count` and mean `residual` float64[steps, groups] of the traversals that began in each traffic step."""

    sums: Array
    count: Array
    residual: Array


def follow_traffic(
    world: Path, config: EtaConfig, graph: RoadGraph, profiles: Profiles, rain: Array, report: Report
) -> Followed:
    begin_ts, days = start_ts(config.world), config.world.days
    minutes, steps = days * MINUTES_A_DAY, days * STEPS_A_DAY
    half_life_s = 60 * config.features.residual_half_life_min
    added = np.zeros((minutes, len(PARTS), GROUPS))
    count, total = np.zeros((steps, GROUPS)), np.zeros((steps, GROUPS))
    for day, profile in enumerate(profiles.by_day):
        rows = read_traversals(world, config.world, day)
        step = np.clip(step_of(rows.enter_ts, begin_ts), 0, steps - 1)
        probes = probes_of(graph, profile, rows.edge, rows.enter_ts, rows.seconds, rain[step])
        _add(added, probes, profile, rows.known_ts, begin_ts, day * MINUTES_A_DAY, half_life_s)
        first = day * STEPS_A_DAY
        cell = (step - first) * GROUPS + probes.group
        size = min(steps - first, 2 * STEPS_A_DAY)
        for into, values in ((count, None), (total, probes.residual)):
            into[first : first + size] += np.bincount(cell, values, size * GROUPS).reshape(-1, GROUPS)
        report((day + 1) / days, f"residuals of day {day + 1}")
    at_ts: Array = begin_ts + np.arange(minutes, dtype=np.float64) * EVERY_S
    sums, _ = run(nothing(begin_ts), added, at_ts, half_life_s)
    return Followed(sums, count, total / np.maximum(count, 1.0))


def _add(
    added: Array, probes: Probes, profile: Profile, known_ts: Array, begin_ts: float, first: int, half_life_s: float
) -> None:
    """Add the traversals of a day, which begins at minute `first`, to the minutes at whose beginning they are known."""
    minute = np.ceil((known_ts - begin_ts) / EVERY_S).astype(np.int64)
    kept = minute < len(added)
    if not kept.all():
        probes, minute = Probes(*(values[kept] for values in vars(probes).values())), minute[kept]
    size = int(minute.max(initial=first)) + 1 - first
    ends_ts: Array = begin_ts + (first + np.arange(size, dtype=np.float64)) * EVERY_S
    added[first : first + size] += added_sums(probes, profile, minute - first, ends_ts, half_life_s)


def learn_forecast(config: EtaConfig, graph: RoadGraph, profiles: Profiles, followed: Followed) -> SpeedForecast:
    """Fit the speed forecast to the training days."""
    steps = training_days(config) * STEPS_A_DAY
    at_ts: Array = start_ts(config.world) + np.arange(steps, dtype=np.float64) * STEP_S
    every = int(STEP_S / EVERY_S)
    return fit_forecast(
        graph,
        profiles.final,
        followed.sums[: steps * every : every],
        profiles.final.slot(at_ts),
        followed.count[:steps],
        followed.residual[:steps],
        config.features.probe_smoothing,
    )


def write_speeds(out: Path, config: EtaConfig, profiles: Profiles, forecast: SpeedForecast, followed: Followed) -> None:
    """Write the speeds of every minute (`features.speeds.SpeedHistory`)."""
    found = []
    for day, profile in enumerate(profiles.by_day):
        minutes = slice(day * MINUTES_A_DAY, (day + 1) * MINUTES_A_DAY)
        at_ts: Array = start_ts(config.world, day) + np.arange(MINUTES_A_DAY, dtype=np.float64) * EVERY_S
        found.append(speeds_of(config.features, profile, forecast, followed.sums[minutes], profile.slot(at_ts)))
    for name, values in zip((FORECAST, OBSERVED), zip(*found, strict=True), strict=True):
        np.save(out / name, np.concatenate(values))
