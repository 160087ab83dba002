"""The state of the city in each traffic step of a day: profile, rain, congestion, and the incidents of the day.

Each day depends on its own random streams and on the end of the day before (`DayEnd`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Ints, hour_of_week
from eta_prediction.world.traffic.incidents import Incidents, draw_incidents
from eta_prediction.world.traffic.rush import profile
from eta_prediction.world.traffic.weather import draw_rain
from eta_prediction.world.truth import World
from infra.columns import DAY_S
from infra.simulation.streams import start_ts, stream


@dataclass(frozen=True)
class DayEnd:
    """z float64[groups] and the rain of the last step, and the incidents that may still be there."""

    z: Array
    rain: float
    incidents: Incidents


@dataclass(frozen=True)
class CityState:
    """One day, in steps from `first_step`: `profile`, `rain` and `swing` float64[steps], `z` float64[steps, groups].

    `incidents` are those of this day and those left from the day before. A trip that begins in the last hours of the
    day meets the state of the last step after midnight: trips are short.
    """

    first_step: int
    profile: Array
    rain: Array
    swing: Array
    z: Array
    incidents: Incidents

    def at(self, step: Ints) -> Ints:
        """Index of a step, at most the last one of the day."""
        found: Ints = np.clip(step - self.first_step, 0, len(self.profile) - 1)
        return found


def first_state(world: World) -> DayEnd:
    none = np.zeros(0)
    z = world.traffic.first(stream(world.config.seed, "traffic"))
    return DayEnd(z, 0.0, Incidents(np.zeros(0, np.int64), none, none, none, none))


def draw_day(world: World, day: int, before: DayEnd) -> tuple[CityState, DayEnd]:
    config = world.config
    steps = int(DAY_S / config.traffic.step_s)
    begin_ts = start_ts(config, day)
    middle = begin_ts + (np.arange(steps) + 0.5) * config.traffic.step_s
    of_week = profile(hour_of_week(np.asarray(middle, np.float64), config.time_zone))
    rain = draw_rain(config.traffic, stream(config.seed, "rain", day), before.rain, steps)
    z = world.traffic.path(stream(config.seed, "traffic", day), before.z, steps)
    new = draw_incidents(config.incidents, world.incident_rate, stream(config.seed, "incidents", day), begin_ts, DAY_S)
    state = CityState(day * steps, of_week, rain, world.traffic.swing(of_week), z, joined(before.incidents, new))
    lasting = np.flatnonzero(state.incidents.end_ts > begin_ts + DAY_S)
    return state, DayEnd(z[-1], float(rain[-1]), taken(state.incidents, lasting))


def joined(one: Incidents, other: Incidents) -> Incidents:
    return Incidents(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in vars(one)))


def taken(incidents: Incidents, rows: Ints) -> Incidents:
    return Incidents(*(values[rows] for values in vars(incidents).values()))
