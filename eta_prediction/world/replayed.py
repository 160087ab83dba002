"""Days of the history once more, with what a perfect observer of the traffic knew in each step of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eta_prediction.world.city_day import CityDay, draw_city_day
from eta_prediction.world.history import probes
from eta_prediction.world.traffic.city_state import draw_day, first_state
from eta_prediction.world.traffic.filter import Posterior, follow, prior
from eta_prediction.world.truth import World
from infra.routing.port import RoutingEngine


@dataclass(frozen=True)
class ReplayedDay:
    """`known[k]` is the posterior of z given all traversals before step k of the day; there is one more for its end."""

    day: int
    found: CityDay
    known: Sequence[Posterior]


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
            yield ReplayedDay(day, found, known)
