"""One day of the city: everything that happens on it, drawn from the streams of its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Bools, Ints, hour_of_week
from eta_prediction.world.demand import draw_demand
from eta_prediction.world.history import Planned, draw_served, draw_times, draw_traversals, plan
from eta_prediction.world.public_events import PublicEvents, draw_events, is_after
from eta_prediction.world.riders import Quotes, draw_quotes, p_cancel
from eta_prediction.world.routing import find_routes
from eta_prediction.world.traffic.city_state import CityState, DayEnd, draw_day
from eta_prediction.world.traffic.rush import profile
from eta_prediction.world.truth import World
from infra.routing.port import RoutingEngine
from infra.routing.routes import Routes
from infra.simulation.streams import stream


@dataclass(frozen=True)
class CityDay:
    """The requests of a day in order, as `planned`, and what becomes of them.

    `time_s` float64[n] is the time of every trip, also of one that its rider cancels. `served` int64[n] are drivers,
    `is_event` and `is_cancelled` bool[n]. `late_s` float64[n] is the delay of the trip's upload, and `edge_s`
    float64[m] the seconds on each edge of the routes.
    """

    state: CityState
    planned: Planned
    events: PublicEvents
    is_event: Bools
    quotes: Quotes
    is_cancelled: Bools
    served: Ints
    time_s: Array
    late_s: Array
    edge_s: Array


def draw_city_day(world: World, engine: RoutingEngine, day: int, before: DayEnd) -> tuple[CityDay, DayEnd]:
    """Draw `day`, which follows `before`. `engine` searches the routes on the world's graph."""
    config, graph = world.config, world.graph
    state, end = draw_day(world, day, before)
    events = draw_events(config, graph, day)
    demand = draw_demand(config, graph, day, events)
    is_event = is_after(config.events, graph, events, demand.origin, demand.at_ts)
    usual = profile(hour_of_week(demand.at_ts, config.time_zone))
    routes = Routes.of(find_routes(engine, graph, world.traffic, demand.origin, demand.destination, usual))
    planned = plan(world, state, demand, routes, is_event)
    rng = stream(config.seed, "trips", day)
    dry = world.traffic.expected(usual[routes.owner], np.zeros(len(routes.edges)), graph.group[routes.edges])
    free_s = routes.total(graph.free_s[routes.edges])
    quotes = draw_quotes(config.riders, routes.total(graph.free_s[routes.edges] * np.exp(dry)), rng)
    is_cancelled = rng.random(len(demand)) < p_cancel(config.riders, quotes.seconds, free_s)
    served = draw_served(world, demand.driver, rng)
    time_s = draw_times(world, state, planned, served, rng)
    uploads = config.uploads
    late_s = np.where(
        rng.random(len(demand)) < uploads.late_share, rng.exponential(60 * uploads.late_min, len(demand)), 0.0
    )
    edge_s = draw_traversals(world, state, planned, stream(config.seed, "traversals", day))
    return CityDay(state, planned, events, is_event, quotes, is_cancelled, served, time_s, late_s, edge_s), end
