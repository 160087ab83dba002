"""The city is a connected road graph with the planted features of its map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from eta_prediction.config import SMALL, SMOKE
from eta_prediction.domain import ARTERIAL, DISTRICTS, GROUPS, LOCAL, MOTORWAY
from eta_prediction.world.city import METRES_PER_DEGREE, make_city

CITY = make_city(SMOKE.world.city, SMOKE.world.seed)


def test_small_city_has_the_size_of_the_adr() -> None:
    city = make_city(SMALL.world.city, SMALL.world.seed)
    assert 18_000 < city.nodes < 22_000
    assert 50_000 < city.edges < 58_000


def test_every_pair_of_nodes_has_a_path() -> None:
    graph = csr_array((np.ones(CITY.edges), (CITY.tail, CITY.head)), shape=(CITY.nodes, CITY.nodes))
    assert connected_components(graph, connection="strong")[0] == 1


def test_the_seed_determines_the_city() -> None:
    again, other = (make_city(SMOKE.world.city, seed) for seed in (SMOKE.world.seed, 18))
    np.testing.assert_array_equal(CITY.lon, again.lon)
    np.testing.assert_array_equal(CITY.head, again.head)
    assert other.edges != CITY.edges or not np.array_equal(other.lon, CITY.lon)


def test_every_group_has_edges_of_one_class() -> None:
    assert set(CITY.group) == set(range(GROUPS))
    for group in range(GROUPS):
        expected = MOTORWAY if group >= 2 * DISTRICTS else (LOCAL, ARTERIAL)[group % 2]
        assert set(CITY.road[CITY.group == group]) == {expected}


def test_larger_roads_are_faster() -> None:
    speed = CITY.length_m / CITY.free_s * 3.6
    np.testing.assert_allclose(speed, np.array(SMOKE.world.city.speed_kmh)[CITY.road])


def test_one_way_streets_are_in_the_centre() -> None:
    pairs = set(zip(CITY.tail.tolist(), CITY.head.tolist(), strict=True))
    one_way = np.array([(head, tail) not in pairs for tail, head in zip(CITY.tail, CITY.head, strict=True)])
    assert one_way.any()
    assert set(CITY.road[one_way]) == {LOCAL}
    centre = CITY.district[CITY.tail] == 0
    assert one_way[centre].mean() > one_way[~centre].mean()


@pytest.mark.parametrize("bridges", [1, 3])
def test_streets_cross_the_river_only_on_bridges(bridges: int) -> None:
    config = replace(SMOKE.world.city, bridges=bridges)
    city = make_city(config, SMOKE.world.seed)
    half = (config.side - 1) * config.spacing_m / 2
    x = (city.lon - config.lon) * METRES_PER_DEGREE * np.cos(np.radians(config.lat))
    y = (city.lat - config.lat) * METRES_PER_DEGREE
    north = y > 0.12 * half * np.sin(1.1 * np.pi * x / half) - 0.18 * half
    is_street = (city.road != MOTORWAY) & (city.length_m < 2 * config.spacing_m)
    crosses = is_street & (north[city.tail] != north[city.head])
    assert set(city.road[crosses]) == {ARTERIAL}
    assert crosses.sum() == 2 * bridges, "both directions of each bridge"
