"""A shift of the world: road works on the bridge that most vehicles cross.

The parameter `size` is the time that the works add: an edge of the bridge takes (1 + `size`) times as long, in both
directions. A bridge is the road over the river up to the next junction of large roads on each bank. Vehicles and riders
do not know of the works: routes, quotes and the map stay.

Lesson: **drift in one place**. Most trips are as before, so the mean error of all trips moves little, and trips over
the bridge are late. The traversals of the vehicles show the works within minutes, so live speeds follow soon, and the
profile of the week and the router's map follow only after a build.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from eta_prediction.config import CityConfig
from eta_prediction.domain import LOCAL, Ints, RoadGraph
from eta_prediction.world.city import crosses_river
from eta_prediction.world.truth import World
from infra.routing.routes import Routes


def busiest_bridge(config: CityConfig, graph: RoadGraph, routes: Routes) -> Ints:
    """int64: the edges of the bridge that most of `routes` cross, in both directions."""
    over = np.flatnonzero(crosses_river(config, graph))
    vehicles = np.bincount(routes.edges, minlength=graph.edges)[over]
    ends = np.sort(np.stack([graph.tail[over], graph.head[over]]), axis=0)
    bridges, number = np.unique(ends, axis=1, return_inverse=True)
    busiest = np.bincount(number.ravel(), vehicles).argmax()
    return _road_between_junctions(graph, *bridges[:, busiest].tolist())


def shifted(world: World, bridge: Ints, size: float) -> World:
    """The world with works on the edges `bridge`. A size of 0 returns `world` itself."""
    if size == 0:
        return world
    works = world.works.copy()
    works[bridge] *= 1 + size
    return replace(world, works=works)


def _road_between_junctions(graph: RoadGraph, one: int, other: int) -> Ints:
    """The edges, in both directions, of the large road through the neighbours `one` and `other`."""
    large = np.flatnonzero(graph.road != LOCAL)
    road = [one, other]
    for _ in range(2):  # from each end
        while True:
            ahead = set(graph.head[large[graph.tail[large] == road[-1]]].tolist()) - {road[-2]}
            if len(ahead) != 1 or ahead & set(road):
                break
            road.append(ahead.pop())
        road.reverse()
    steps = {*pairwise(road), *pairwise(reversed(road))}
    is_part = [(int(graph.tail[edge]), int(graph.head[edge])) in steps for edge in large]
    found: Ints = large[is_part]
    return found
