"""Days of the history once more, with what a perfect observer of the traffic knew in each minute of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from eta_prediction.domain import GROUPS, Array, Bools, Ints
from eta_prediction.world.city_day import CityDay, draw_city_day
from eta_prediction.world.history import probes
from eta_prediction.world.traffic.city_state import draw_day, first_state
from eta_prediction.world.traffic.filter import Posterior, follow, prior
from eta_prediction.world.traffic.process import Traffic
from eta_prediction.world.truth import World
from infra.routing.port import RoutingEngine
from infra.simulation.streams import start_ts

MINUTE_S = 60.0
"""an observer looks at the traversals once a minute, as often as the speeds of the history are made"""


@dataclass(frozen=True)
class Observed:
    """The traversals of a day in the order in which they begin: `enter_ts` float64[m], their `step` of the day and
    `group` int64[m], and the log pace `residual` float64[m] without C and W."""

    enter_ts: Array
    step: Ints
    group: Ints
    residual: Array


@dataclass
class ReplayedDay:
    """`known[k]` is the posterior of z of the step before step k of the day, given all traversals before step k; there
    is one more for the day's end."""

    day: int
    begin_ts: float
    found: CityDay
    known: Sequence[Posterior]
    traffic: Traffic
    observed: Observed
    _minutes: dict[int, Posterior] = field(default_factory=dict)

    def known_at(self, minute: int) -> Posterior:
        """The posterior of z of the step of a minute of the day, given all traversals that began before the minute.

        Traversals that have ended by then would be a biased selection: fast ones end first. The observer thus knows a
        few seconds more than a server, which learns the time of a traversal at its end.
        """
        if minute not in self._minutes:
            step_s = self.traffic.config.step_s
            step, at_ts = int(minute * MINUTE_S // step_s), self.begin_ts + minute * MINUTE_S
            observed = self.observed
            rows = np.arange(*np.searchsorted(observed.enter_ts, [self.begin_ts + step * step_s, at_ts]))
            rows = rows[observed.step[rows] == step]
            count, total = (
                np.bincount(observed.group[rows], values, GROUPS) for values in (None, observed.residual[rows])
            )
            mean, swing = total / np.maximum(count, 1), float(self.found.state.swing[step])
            self._minutes[minute] = follow(self.traffic, self.known[step], mean, count.astype(float), swing)
        return self._minutes[minute]


def replay_days(world: World, engine: RoutingEngine, days: range) -> Iterator[ReplayedDay]:
    """Yield `days`. The observer starts a day earlier without knowledge, which it has forgotten by then."""
    before, posterior = first_state(world), prior(world.traffic)
    first = max(days.start - 1, 0)
    for day in range(first):
        _, before = draw_day(world, day, before)
    for day in range(first, days.stop):
        found, before = draw_city_day(world, engine, day, before)
        kept = ~found.is_cancelled[found.planned.routes.owner]
        mean, count = probes(world, found.state, found.planned, found.edge_s, kept)
        known = [posterior]
        for step in range(len(mean)):
            posterior = follow(world.traffic, posterior, mean[step], count[step], found.state.swing[step])
            known.append(posterior)
        if day in days:
            begin_ts = start_ts(world.config, day)
            yield ReplayedDay(day, begin_ts, found, known, world.traffic, _observed(world, found, kept))


def _observed(world: World, found: CityDay, kept: Bools) -> Observed:
    planned = found.planned
    residual = np.log(found.edge_s / planned.expected_s)
    step, group = found.state.at(planned.step), world.graph.group[planned.routes.edges]
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(planned.reach_ts[rows], kind="stable")]
    return Observed(planned.reach_ts[rows], step[rows], group[rows], residual[rows])
