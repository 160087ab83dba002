"""Road works slow the edges of the busiest bridge for the vehicles on it; the map and the routes stay."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from functools import cache

import numpy as np
import pytest

from eta_prediction.config import SMALL, SMOKE, EtaConfig
from eta_prediction.domain import LOCAL, Array, Ints
from eta_prediction.world.city import crosses_river, make_city
from eta_prediction.world.city_day import CityDay
from eta_prediction.world.history import Planned, draw_times, draw_traversals, plan
from eta_prediction.world.shift import busiest_bridge, shifted
from eta_prediction.world.truth import World
from infra.routing.routes import Routes
from tests.support.eta_city import CONFIG, days, world

SIZE = 3.0


@cache
def day() -> CityDay:
    return days()[1].found


@cache
def bridge() -> Ints:
    return busiest_bridge(CONFIG.city, world().graph, day().planned.routes)


def crossings(edges: Ints) -> Ints:
    return edges[crosses_river(CONFIG.city, world().graph)[edges]]


def test_size_0_is_the_original_world_and_a_shift_does_not_change_it() -> None:
    assert shifted(world(), bridge(), 0.0) is world()
    shifted(world(), bridge(), SIZE)
    np.testing.assert_array_equal(world().works, 1.0)


def test_busiest_bridge_carries_the_most_vehicles_in_both_directions() -> None:
    graph = world().graph
    vehicles = np.bincount(day().planned.routes.edges, minlength=graph.edges)
    there, back = crossings(bridge())
    assert (graph.tail[there], graph.head[there]) == (graph.head[back], graph.tail[back])
    by_bridge: dict[tuple[int, ...], int] = defaultdict(int)
    for edge in np.flatnonzero(crosses_river(CONFIG.city, graph)).tolist():
        by_bridge[tuple(sorted((int(graph.tail[edge]), int(graph.head[edge]))))] += int(vehicles[edge])
    assert vehicles[[there, back]].sum() == max(by_bridge.values()) > 0


@pytest.mark.parametrize("config", [SMOKE, SMALL], ids=["smoke", "small"])
def test_every_bridge_ends_at_a_junction_of_large_roads_on_each_bank(config: EtaConfig) -> None:
    graph = make_city(config.world.city, config.world.seed)
    large, over = graph.road != LOCAL, np.flatnonzero(crosses_river(config.world.city, graph))
    neighbours = np.bincount(graph.tail[large], minlength=graph.nodes)
    pairs = {(int(tail), int(head)) for tail, head in zip(graph.tail, graph.head, strict=True)}
    assert len(over) >= 2 * config.world.city.bridges
    for edge in over:
        stretch = busiest_bridge(config.world.city, graph, Routes.of([np.array([edge])]))
        assert edge in stretch
        assert large[stretch].all()
        assert pairs >= {(int(graph.head[one]), int(graph.tail[one])) for one in stretch}
        ends = np.flatnonzero(np.bincount(graph.tail[stretch], minlength=graph.nodes) == 1)
        inner = np.setdiff1d(graph.tail[stretch], ends)
        assert len(ends) == 2
        assert (neighbours[inner] == 2).all()
        assert (neighbours[ends] != 2).all()


def driven(one: World) -> tuple[Planned, Array, Array]:
    """(plan, drawn seconds on each edge, drawn time of each trip) of the day's trips in the world `one`."""
    found = day()
    again = plan(one, found.state, found.planned.demand, found.planned.routes, found.is_event)
    on_edges = draw_traversals(one, found.state, again, np.random.default_rng(0))
    times = draw_times(one, found.state, again, found.served, np.random.default_rng(1))
    return again, on_edges, times


def test_edges_of_the_bridge_take_longer_and_all_others_the_same_time() -> None:
    routes = day().planned.routes
    before, old_s, old_time = driven(world())
    after, new_s, new_time = driven(shifted(world(), bridge(), SIZE))
    is_bridge = np.isin(routes.edges, bridge())
    np.testing.assert_array_equal(new_s[~is_bridge], old_s[~is_bridge])
    np.testing.assert_allclose(new_s[is_bridge], (1 + SIZE) * old_s[is_bridge], rtol=1e-12)
    np.testing.assert_array_equal(after.reach_ts, before.reach_ts)
    passes = np.zeros(routes.trips, bool)
    passes[routes.owner[is_bridge]] = True
    np.testing.assert_array_equal(new_time[~passes], old_time[~passes])
    longer = (new_time - old_time)[passes]
    usual = SIZE * np.bincount(routes.owner[is_bridge], before.expected_s[is_bridge], routes.trips)[passes]
    assert 0.02 < passes.mean() < 0.4
    assert (longer > 0).all()
    assert np.median(longer / usual) == pytest.approx(1.0, abs=0.3), "congestion and the driver vary it"


def test_map_and_everything_that_a_router_knows_stay() -> None:
    new = shifted(world(), bridge(), SIZE)
    for item in fields(World):
        if item.name != "works":
            assert getattr(new, item.name) is getattr(world(), item.name), item.name
    assert set(np.flatnonzero(new.works != 1)) == set(bridge())
