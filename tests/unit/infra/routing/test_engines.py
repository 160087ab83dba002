"""Both routing engines find fastest paths, and CCH agrees with Dijkstra on random graphs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routingkit_cch import CCH, CCHMetric, CCHQuery

from infra.errors import RoutingUnavailable
from infra.routing import cch, choose
from infra.routing.cch import CchEngine, node_order
from infra.routing.dijkstra import DijkstraEngine
from infra.routing.port import RoutingEngine
from infra.routing.topology import Array, Ints, Topology

Open = Callable[[Topology, Array], RoutingEngine]


def open_cch(topology: Topology, seconds: Array) -> RoutingEngine:
    return CchEngine(topology, node_order(topology), seconds)


both = pytest.mark.parametrize("open_one", [open_cch, DijkstraEngine], ids=["cch", "dijkstra"])


def graph(edges: list[tuple[int, int]], nodes: int) -> Topology:
    tail, head = (np.array([edge[end] for edge in edges], np.int64) for end in (0, 1))
    at = np.arange(nodes, dtype=float)
    return Topology(tail, head, 0.01 * (at % 3), 0.01 * (at // 3))


LINE = graph([(0, 1), (1, 2), (2, 3), (0, 3), (3, 0), (0, 1)], 5)
"""Node 4 has no edge. Edges 0 and 5 are parallel."""
LINE_S = np.array([2.0, 3.0, 4.0, 10.0, 1.0, 1.5])


@both
def test_path_has_the_fastest_edges_in_driving_order(open_one: Open) -> None:
    found = open_one(LINE, LINE_S).path(0, 3)
    assert found is not None
    assert (found.seconds, found.edges.tolist()) == (8.5, [5, 1, 2]), "edge 5 is faster than its parallel edge 0"


@both
def test_path_to_the_same_node_is_empty(open_one: Open) -> None:
    found = open_one(LINE, LINE_S).path(2, 2)
    assert found is not None
    assert (found.seconds, found.edges.tolist()) == (0.0, [])


@both
def test_pair_without_a_path_is_none(open_one: Open) -> None:
    engine = open_one(LINE, LINE_S)
    assert engine.path(0, 4) is None
    assert engine.path(4, 0) is None
    assert engine.seconds_to(np.array([0, 4, 3]), 4).tolist() == [np.inf, 0.0, np.inf]
    assert [found is None for found in engine.paths_to(np.array([0, 4]), 3)] == [False, True]
    assert [found is None for found in engine.paths(np.array([0, 0]), np.array([4, 3]))] == [True, False]


@both
def test_queries_for_no_source_are_empty(open_one: Open) -> None:
    engine, none = open_one(LINE, LINE_S), np.zeros(0, np.int64)
    assert engine.seconds_to(none, 0).tolist() == []
    assert list(engine.paths_to(none, 0)) == []


@both
def test_update_changes_the_next_query(open_one: Open) -> None:
    engine = open_one(LINE, LINE_S)
    slower = LINE_S.copy()
    slower[2] = 60.0
    for seconds, expected in ((slower, 10.0), (LINE_S, 8.5), (slower, 10.0)):
        engine.update(seconds)
        found = engine.path(0, 3)
        assert found is not None
        assert found.seconds == expected
        assert engine.seconds_to(np.array([0]), 3).tolist() == [expected]


@both
def test_closed_edge_is_on_no_path(open_one: Open) -> None:
    engine, closed = open_one(LINE, LINE_S), LINE_S.copy()
    closed[3] = np.inf
    engine.update(closed)
    found = engine.path(0, 3)
    assert found is not None
    assert 3 not in found.edges
    closed[1] = np.inf
    engine.update(closed)
    assert engine.path(0, 3) is None


@both
@pytest.mark.parametrize("node", [-1, 5, 2**40])
def test_unknown_node_is_refused(open_one: Open, node: int) -> None:
    engine = open_one(LINE, LINE_S)
    for call in (
        lambda: engine.path(node, 0),
        lambda: engine.path(0, node),
        lambda: engine.seconds_to(np.array([0, node]), 1),
        lambda: engine.paths_to(np.array([0]), node),
        lambda: engine.paths(np.array([0]), np.array([node])),
    ):
        with pytest.raises(ValueError, match=f"node {node} does not exist"):
            call()
    assert engine.path(0, 1) is not None


@both
@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (LINE_S[:-1], "5,"),
        (np.full(6, np.nan), "nan"),
        (np.full(6, -1.0), "-1.0 s"),
        (np.full(6, 1e9), "1000000000.0 s"),
    ],
)
def test_invalid_edge_times_are_refused_and_the_old_ones_stay(open_one: Open, seconds: Array, message: str) -> None:
    engine = open_one(LINE, LINE_S)
    with pytest.raises(ValueError, match=message):
        engine.update(seconds)
    found = engine.path(0, 3)
    assert found is not None
    assert found.seconds == 8.5


def random_city(seed: int, nodes: int, edges: int) -> tuple[Topology, np.random.Generator]:
    rng = np.random.default_rng(seed)
    tail, head = rng.integers(0, nodes, (2, edges))
    return Topology(tail, head, rng.random(nodes), rng.random(nodes)), rng


def check_path(city: Topology, seconds: Array, source: int, target: int, edges: Ints) -> float:
    """Assert that the edges lead from source to target, and return their time."""
    places = [source, *city.head[edges].tolist()]
    assert places[-1] == target
    assert city.tail[edges].tolist() == places[:-1]
    return float(city.milliseconds(seconds)[edges].sum() / 1000)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), nodes=st.integers(1, 40), density=st.floats(0, 4))
def test_cch_agrees_with_dijkstra(seed: int, nodes: int, density: float) -> None:
    city, rng = random_city(seed, nodes, int(nodes * density))
    engines = [open_one(city, np.ones(city.edges)) for open_one in (open_cch, DijkstraEngine)]
    for _ in range(2):
        seconds = np.where(rng.random(city.edges) < 0.1, np.inf, rng.exponential(30.0, city.edges))
        for engine in engines:
            engine.update(seconds)
        target, sources = int(rng.integers(nodes)), rng.integers(0, nodes, 8)
        times = [engine.seconds_to(sources, target) for engine in engines]
        np.testing.assert_array_equal(*times)
        for engine in engines:
            for source, expected, found in zip(
                sources.tolist(), times[0].tolist(), engine.paths_to(sources, target), strict=True
            ):
                assert (found is None) == (expected == np.inf)
                if found is not None:
                    assert found.seconds == expected
                    assert check_path(city, seconds, source, target, found.edges) == pytest.approx(expected)


def test_queries_during_updates_use_the_times_of_one_update() -> None:
    """Every answer is a fastest path of one of the two sets of edge times, never of a mixture."""
    city, rng = random_city(3, 400, 1600)
    choices = [rng.exponential(30.0, city.edges) for _ in range(2)]
    source, target = 0, 399
    expected = {DijkstraEngine(city, seconds).seconds_to(np.array([source]), target)[0] for seconds in choices}
    assert len(expected) == 2
    engine, stop, wrong, answered = open_cch(city, choices[0]), threading.Event(), [], [0] * 4

    def ask(number: int) -> None:
        while not stop.is_set():
            found = engine.path(source, target)
            if found is None or found.seconds not in expected:
                wrong.append(found)
            answered[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(30):
            engine.update(choices[number % 2])
            time.sleep(0.001)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert min(answered) > 0


def test_update_waits_for_a_running_query_and_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = CchEngine(LINE, node_order(LINE), LINE_S)
    monkeypatch.setattr(cch, "DRAIN_S", 0.05)
    with engine._metric():
        engine.update(2 * LINE_S)  # takes the other metric
        with pytest.raises(RoutingUnavailable, match="a query has used old edge times"):
            engine.update(3 * LINE_S)
        found = engine.path(0, 3)
        assert found is not None
        assert found.seconds == 17.0, "the engine keeps its edge times"
    engine.update(3 * LINE_S)
    found = engine.path(0, 3)
    assert found is not None
    assert found.seconds == 25.5


def test_update_replaces_times_of_which_an_idle_thread_keeps_a_query() -> None:
    """A thread that has searched once and then waits must not block an update."""
    engine = CchEngine(LINE, node_order(LINE), LINE_S)
    searched, may_end = threading.Event(), threading.Event()

    def search_once() -> None:
        engine.path(0, 3)
        searched.set()
        may_end.wait(10)

    thread = threading.Thread(target=search_once)
    thread.start()
    try:
        assert searched.wait(10)
        for factor in (2, 3, 4):
            engine.update(factor * LINE_S)
            found = engine.path(0, 3)
            assert found is not None
            assert found.seconds == factor * 8.5
    finally:
        may_end.set()
        thread.join()


def test_thread_keeps_one_query_and_uses_the_times_of_each_engine() -> None:
    engines = [CchEngine(LINE, node_order(LINE), factor * LINE_S) for factor in (1, 2)]
    for _ in range(2):
        assert [path.seconds for engine in engines if (path := engine.path(0, 3)) is not None] == [8.5, 17.0]
    engines[1].update(3 * LINE_S)
    found = engines[1].path(0, 3)
    assert found is not None
    assert found.seconds == 25.5
    assert [times.kept for engine in engines for times in (engine._served, engine._idle)] == [0, 0, 1, 0]


def test_panic_of_the_binding_becomes_routing_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a check was missing, a panic would pass every `except Exception` and end the thread."""
    engine = CchEngine(LINE, node_order(LINE), LINE_S)
    monkeypatch.setattr(Topology, "check_nodes", lambda self, nodes: None)
    with pytest.raises(RoutingUnavailable, match="source node id out of range"):
        engine.path(77, 0)
    engine.update(LINE_S)
    engine.update(LINE_S)  # the failed query blocks neither metric


def test_binding_still_has_the_properties_that_the_adapter_handles() -> None:
    """If a newer binding changes one of them, the adapter can become simpler."""
    metric = CCHMetric(CCH(node_order(LINE).tolist(), LINE.tail.tolist(), LINE.head.tolist(), False), [1] * 6)
    with pytest.raises(BaseException, match="out of range") as found:
        CCHQuery(metric).run(77, 0)
    assert not isinstance(found.value, Exception)
    query = CCHQuery(metric)
    with pytest.raises(BaseException, match="active queries"):
        metric.reset([2] * 6)
    del query


@pytest.mark.parametrize("order", [np.arange(4), np.zeros(5, np.int64), np.arange(5) + 1])
def test_order_of_another_graph_is_refused(order: Ints) -> None:
    with pytest.raises(ValueError, match="not a permutation of the 5 nodes"):
        CchEngine(LINE, order, LINE_S)


def test_machine_without_the_binding_gets_dijkstra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose.open_engine(LINE, choose.find_order(LINE), LINE_S).name == "cch"
    monkeypatch.setattr(choose, "has_cch", lambda: False)
    assert choose.find_order(LINE) is None
    assert choose.open_engine(LINE, np.arange(5), LINE_S).name == "dijkstra"
