"""Stages of a quote against the bare libraries that they call, on the same inputs, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import lightgbm as lgb
import numpy as np

from eta_prediction.domain import STANDARD, Ints
from eta_prediction.features.route_inputs import live_edge_seconds
from eta_prediction.model.inputs import Floats
from eta_prediction.offline.quantile_models.boosters import predict_boosters
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.service import EtaService
from infra.collector import as_in_a_service
from infra.errors import LabError
from infra.evaluation.speed.alternate import time_alternately
from infra.pipeline.trace import Trace
from infra.routing.topology import MS

PART = 250
"""pairs of one slice"""
ROWS = 2_000
"""rows for which boosters predict, one after the other"""
Search = Callable[[int, int], tuple[int | None, list[int]]]
"""(source, target) -> (milliseconds, edges)"""


def route_over_engine(service: EtaService, origin: Ints, destination: Ints) -> float:
    """Routes per second of the stage `route` with paths / of the bare binding, for pairs of nodes int64[n].

    The stage also takes the newest traffic and times the route. The binding searches the same hierarchy with the same
    edge times and returns times and edges. Both run with the garbage collector's settings of a service. Raises
    `LabError` if a route of the stage costs more or less.
    """
    weights = _milliseconds(service)
    search = _bare(service, weights)
    with as_in_a_service():
        ratios, wrong = _route_ratios(service, search, weights, origin, destination)
    if wrong:
        raise LabError(f"{wrong} of {len(origin)} routes cost something else than those of the bare engine")
    return median(ratios)


def _route_ratios(
    service: EtaService, search: Search, weights: Ints, origin: Ints, destination: Ints
) -> tuple[list[float], int]:
    """The ratio of each slice of pairs, and the number of pairs whose routes have different costs."""
    ratios, wrong = [], 0
    for start in range(0, len(origin), PART):
        pairs = list(
            zip(origin[start : start + PART].tolist(), destination[start : start + PART].tolist(), strict=True)
        )
        at_ts = service.live.state.made_ts
        queries = [service.query(STANDARD, {}, at_ts=at_ts).but(origin=one, destination=other) for one, other in pairs]
        began = time.perf_counter()
        answers = [_routed(service, query) for query in queries]
        between = time.perf_counter()
        found = [search(one, other) for one, other in pairs]
        ratios.append((time.perf_counter() - between) / (between - began))
        costs = [int(weights[query.routes[0].edges].sum()) for query in answers]
        wrong += sum(cost != ms for cost, (ms, _) in zip(costs, found, strict=True))
    return ratios, wrong


def quantiles_over_boosters(service: EtaService, boosters: list[lgb.Booster], x: Floats) -> float:
    """Time of the three quantiles of one row in the service's ONNX session / in three LightGBM boosters.

    The session and the boosters, for P10, P50 and P90 with live traffic, have the same trees. `x` float32[n, inputs]
    are rows to predict. Raises `LabError` if the predictions differ.
    """
    served, rows = service.bundle.models["boosters_live"], [x[n : n + 1] for n in range(len(x))]
    if not np.allclose(served(x), predict_boosters(boosters, x), atol=1e-4):
        raise LabError("the served boosters are not those that the sample yields", hint="run: lab build eta_prediction")
    ours, theirs = iter(rows), iter(rows)

    def bare() -> None:
        row = next(theirs)
        for booster in boosters:
            booster.predict(row, num_threads=1)

    times = time_alternately([lambda: served(next(ours)), bare], len(rows))
    return times[0] / times[1]


def _milliseconds(service: EtaService) -> Ints:
    """int64[edges]: the times with which the service's engine routes."""
    live, state = service.live, service.live.state
    seconds = live_edge_seconds(live.roads, state.forecast, state.made_ts, state.rain)
    return np.maximum(np.rint(seconds * MS), 1).astype(np.int64)


def _bare(service: EtaService, weights: Ints) -> Search:
    """The binding without this lab's adapter: (source, target) -> (milliseconds, edges), with one reused query."""
    from routingkit_cch import CCH, CCHMetric, CCHQuery

    topology, order = service.city.graph.topology, service.city.order
    if order is None:
        raise LabError(
            "the release has no node order", hint="install routingkit-cch, then run: lab build eta_prediction"
        )
    hierarchy = CCH(order.tolist(), topology.tail.tolist(), topology.head.tolist(), False)
    query = CCHQuery(CCHMetric(hierarchy, weights.tolist()))

    def search(source: int, target: int) -> tuple[int | None, list[int]]:
        found = query.run(source, target)
        return found.distance, found.arc_path

    return search


def _routed(service: EtaService, query: EtaQuery) -> EtaQuery:
    pipeline, trace = service.pipeline, Trace()
    stage = partial(pipeline.stage, "route")
    query = stage(pipeline.feed, pipeline.feed.see, pipeline.feed.fallback, query, trace)
    return stage(pipeline.router, pipeline.router.find, pipeline.router.fallback, query, trace)
