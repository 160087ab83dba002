"""Checks a map without trips: routes random pairs of nodes, and compares some of the routes with Dijkstra's."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from eta_prediction.offline.trip_files.maps.road_map import RoadMap
from infra.build.real_files import Table
from infra.errors import LabError
from infra.evaluation.figures import Figure
from infra.progress import Progress
from infra.routing.choose import find_order, open_engine
from infra.routing.dijkstra import DijkstraEngine
from infra.routing.snap import great_circle_m

ROUTED, COMPARED, SHOWN = 1000, 20, 5
"""random routes, those of them that Dijkstra repeats, and those of them that the table shows"""
SAME_S = 1e-6
"""both engines add whole milliseconds, so that equal costs differ by the rounding of floats only"""


def check_routes(road_map: RoadMap, report: Progress) -> tuple[list[Figure], dict[str, Any]]:
    """Figures of random routes (length over great circle, time of a query), and facts with the first routes.

    Raises `LabError` if the engine and Dijkstra disagree on a route.
    """
    report(0.0, "ordering the nodes")
    graph = road_map.topology
    started = time.perf_counter()
    engine = open_engine(graph, find_order(graph), road_map.free_s)
    order_s = time.perf_counter() - started
    one, other = np.random.default_rng(0).integers(0, graph.nodes, (2, ROUTED))
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    report(0.5, "routing")
    started = time.perf_counter()
    paths = [engine.path(*pair) for pair in pairs]
    query_us = (time.perf_counter() - started) / ROUTED * 1e6
    metres = np.array([road_map.length_m[path.edges].sum() if path else np.nan for path in paths])
    oracle, shown = DijkstraEngine(graph, road_map.free_s), []
    for at, pair in enumerate(pairs[:COMPARED]):
        report(0.6 + 0.4 * at / COMPARED, "comparing with Dijkstra")
        path, true = paths[at], oracle.path(*pair)
        if path is None or true is None or abs(path.seconds - true.seconds) > SAME_S:
            raise LabError(f"the routing engine and Dijkstra disagree on the way from node {pair[0]} to node {pair[1]}")
        lonlat = [[round(float(values[node]), 5) for values in (graph.lon, graph.lat)] for node in pair]
        shown.append({"ends": lonlat, "m": float(metres[at]), "seconds": [path.seconds, true.seconds]})
    line_m = great_circle_m(graph.lon[one], graph.lat[one], graph.lon[other], graph.lat[other])
    ratio = metres / np.maximum(line_m, 50.0)
    low, high = np.quantile(ratio, (0.05, 0.95))
    figures = [
        Figure("detour", "route over great circle, median and central 90%", float(np.median(ratio)), low, high, ""),
        Figure("query_us", f"one route with its edges, {engine.name}", query_us, query_us, query_us, "µs"),
        Figure("order_s", f"order of the nodes, {engine.name}", order_s, order_s, order_s, "s"),
    ]
    return figures, {"engine": engine.name, "compared": COMPARED, "routes": shown[:SHOWN]}


def tables_of(figures: list[Figure], facts: dict[str, Any]) -> tuple[Table, ...]:
    """The figures, and the first routes with their costs beside Dijkstra's."""
    routes = [
        (
            *(f"{lon:.5f}, {lat:.5f}" for lon, lat in route["ends"]),
            f"{route['m'] / 1000:.2f} km",
            *(f"{seconds:.2f} s" for seconds in route["seconds"]),
        )
        for route in facts["routes"]
    ]
    values = [
        (
            figure.description,
            f"{figure.value:.4g} {figure.unit}".strip(),
            f"{figure.low:.4g} to {figure.high:.4g}" if figure.low < figure.high else "",
        )
        for figure in figures
    ]
    columns = ("from (lon, lat)", "to (lon, lat)", "length", f"time by {facts['engine']}", "by Dijkstra")
    return Table(columns, tuple(routes)), Table(("figure", "value", "range"), tuple(values))
