"""The day after the history as its world draws it: the rides, what is reported, and the true law of any ride's time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import Array, Ints
from eta_prediction.evaluation.rides.cases import Reported, Ride
from eta_prediction.events.history import IncidentRows
from eta_prediction.worker.append_log import Driven
from eta_prediction.world.demand import Demand
from eta_prediction.world.history import plan
from eta_prediction.world.law.laws import Knowledge, laws_of_day
from eta_prediction.world.public_events import is_after
from eta_prediction.world.replayed import ReplayedDay, replay_days
from eta_prediction.world.truth import World, make_world
from infra.columns import DAY_S
from infra.routing.choose import find_order, open_engine
from infra.routing.routes import Routes

DRAWS = 256


@dataclass(frozen=True)
class DrivenRide:
    """`law` float64[DRAWS] is the law of the ride's time given all that is known at its departure. `usual_s` is the
    driving time in the usual traffic of the hour, `free_s` that on empty roads."""

    law: Array
    usual_s: float
    free_s: float


class DayAfter:
    """The world of `config` on the first day after its history. The reports begin a day earlier."""

    def __init__(self, config: WorldConfig) -> None:
        self.world = make_world(config)
        topology = self.world.graph.topology
        engine = open_engine(topology, find_order(topology), self.world.graph.free_s)
        days = range(config.days - 1, config.days + 1)
        self._days = tuple(replay_days(self.world, engine, days))
        self._driven: dict[tuple[int, bytes], DrivenRide] = {}

    @property
    def _day(self) -> ReplayedDay:
        return self._days[-1]

    @property
    def demand(self) -> Demand:
        return self._day.found.planned.demand

    @cached_property
    def reported(self) -> Reported:
        return reported_of(self.world, self._days)

    def rides(self, count: int, seed: int) -> list[Ride]:
        """Up to `count` random requests of the day, in order of time."""
        rng, demand = np.random.default_rng([seed, 11]), self.demand
        somewhere = np.flatnonzero(demand.origin != demand.destination)
        rows = np.sort(rng.permutation(somewhere)[:count])
        return [
            Ride(
                row,
                int(demand.origin[row]),
                int(demand.destination[row]),
                int(demand.ride_type[row]),
                int(demand.driver[row]),
                float(demand.at_ts[row]),
                self.reported,
            )
            for row in rows.tolist()
        ]

    def usual_edges(self, ride: Ride) -> Ints:
        """int64[k]: the route that the ride's driver takes without directions."""
        routes = self._day.found.planned.routes
        found: Ints = routes.edges[routes.owner == ride.number]
        return found

    def driven(self, ride: Ride, edges: Ints) -> DrivenRide:
        """The ride along `edges` int64[k], or along its driver's own route if there are none."""
        edges = edges if len(edges) else self.usual_edges(ride)
        key = ride.number, edges.tobytes()
        if key not in self._driven:
            self._driven[key] = driven_ride(self.world, self._day, ride, ride.at_ts, edges)
        return self._driven[key]


def driven_ride(
    world: World, day: ReplayedDay, ride: Ride, at_ts: float, edges: Ints, withheld: Knowledge | None = None
) -> DrivenRide:
    """The ride with a departure at `at_ts` on `day`. `withheld` is what the server does not know (`world.law.laws`)."""
    ends = (np.array([one], np.int64) for one in (ride.origin, ride.destination, ride.ride_type, ride.driver_id))
    demand, found = Demand(np.array([at_ts]), *ends), day.found
    is_event = is_after(world.config.events, world.graph, found.events, demand.origin, demand.at_ts)
    planned = plan(world, found.state, demand, Routes.of([edges]), is_event)
    alone = replace(day, found=replace(found, planned=planned))
    law = laws_of_day(world, alone, np.zeros(1, np.int64), DRAWS, withheld)[0]
    free_s = float(world.graph.free_s[edges].sum())
    return DrivenRide(law, float(planned.expected_s.sum()), free_s)


def reported_of(world: World, days: tuple[ReplayedDay, ...]) -> Reported:
    """What is reported on consecutive days."""
    driven, incidents, weather = [], [], []
    for day in days:
        found, planned = day.found, day.found.planned
        kept = np.flatnonzero(~found.is_cancelled[planned.routes.owner])
        known_ts = planned.reach_ts + found.edge_s + found.late_s[planned.routes.owner]
        driven.append(Driven(planned.routes.edges, planned.reach_ts, found.edge_s, known_ts).take(kept))
        incidents.append(_incidents(day))
        weather.append(
            (day.begin_ts + np.arange(len(found.state.rain)) * world.config.traffic.step_s, found.state.rain)
        )
    joined = Driven.joined(driven)
    rows = IncidentRows(
        *(np.concatenate([getattr(one, item.name) for one in incidents]) for item in fields(IncidentRows))
    )
    return Reported(
        days[0].begin_ts,
        joined.take(np.argsort(joined.known_ts, kind="stable")),
        rows,
        (np.concatenate([at_ts for at_ts, _ in weather]), np.concatenate([rain for _, rain in weather])),
    )


def _incidents(day: ReplayedDay) -> IncidentRows:
    """The incidents that were reported on a day, in order of their reports."""
    found = day.found.state.incidents
    rows = np.flatnonzero((found.reported_ts >= day.begin_ts) & (found.reported_ts < day.begin_ts + DAY_S))
    rows = rows[np.argsort(found.reported_ts[rows], kind="stable")]
    number = day.day * 1_000_000 + rows
    return IncidentRows(number, found.edge[rows], found.begin_ts[rows], found.reported_ts[rows], found.end_ts[rows])
