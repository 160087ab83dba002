"""Benchmarks of the feed against references that do the same work, interleaved in one process.

Each figure compares two or more series of one round; the lab takes the median of several rounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from feed_ranking.config import FeedConfig
from feed_ranking.domain import FeedQuery, Floats, Ids
from feed_ranking.evaluation.player import FeedPlayer
from feed_ranking.features.views import naive_reader, open_store
from feed_ranking.items.vector_index import VectorIndex
from feed_ranking.online.service import FeedService
from infra.errors import LabError
from infra.evaluation.speed.reference_app import reference_app
from infra.pipeline.runner import Outcome
from infra.registry.release import Release
from infra.resilience.deadline import Deadline
from infra.settings import Settings

T = TypeVar("T")
QUESTIONS, WARM_UP = 200, 10
ITEMS = 1_000
NEIGHBOURS = 500
MANY = 500_000
"""number of vectors in the large index: the live posts of a feed about a hundred times as large"""
LARGE_KIND, LARGE_NPROBE = "ivf", 64


class FeedBenchmarks:
    """Requires a release built with naive hydration, and a service of that release at `url`."""

    def __init__(self, release: Path, config: FeedConfig, url: str, settings: Settings) -> None:
        self._config, self._url = config, url
        self._release = Release.read(release)
        self._service: FeedService = FeedPlayer(release, config, settings).service
        self._store = open_store(Path(self._release.features_path), settings, online_only=True).open()
        self._read_items = naive_reader(Path(self._release.naive_path), settings)
        self._rng = np.random.default_rng(0)
        snapshot = self._service.catalogue.snapshot
        self._flat, self._large, self._askers = self._large_indices(np.asarray(snapshot.embeddings))

    def question(self, number: int) -> dict[str, Any]:
        """The body of one request. Users are in random order; one in twenty is unknown."""
        users = self._config.world.users
        return {"user_id": 10**9 + number if number % 20 == 19 else number * 7919 % users, "k": 20, "seed": number}

    def round(self) -> Mapping[str, float]:
        """One measurement of every figure, by figure id."""
        return {
            **self.http(),
            "hydration_speedup": self.hydration_speedup(),
            "ann_recall": self.recall(),
            **self.large_index(),
        }

    def http(self) -> Mapping[str, float]:
        """Overhead of HTTP over the bare kernels. One keep-alive client calls the service and the constant route,
        interleaved with the kernels on the same inputs. No other load runs."""
        over_http, constant, alone, cpu = [], [], [], []
        with ExitStack() as stack:
            ours = stack.enter_context(closing(_connection(self._url)))
            size = round(median(len(self._ask(ours, self.question(number))) for number in range(WARM_UP)))
            url = stack.enter_context(reference_app("feed_ranking.evaluation.constant_route", str(size)))
            theirs = stack.enter_context(closing(_connection(url)))
            for number in self._rng.integers(0, 10**6, QUESTIONS).tolist():
                body = self.question(number)
                over_http.append(_timed(partial(self._ask, ours, body)))
                constant.append(_timed(partial(self._ask, theirs, body)))
                took = [_timed_with_cpu(kernel) for kernel in self.kernels(body)]
                alone.append(sum(wall_ms for wall_ms, _ in took))
                cpu.append(sum(cpu_ms for _, cpu_ms in took))
        overhead_ms = median(over_http[WARM_UP:]) - median(alone[WARM_UP:])
        return {
            "cpu_ms_kernels": float(np.mean(cpu[WARM_UP:])),
            "overhead_ms": overhead_ms,
            "overhead_over_constant": overhead_ms / median(constant[WARM_UP:]),
        }

    def _ask(self, connection: HTTPConnection, body: Mapping[str, Any]) -> bytes:
        """Send one request with `http.client`, because its overhead is small, and return the response body."""
        connection.request("POST", "/v1/feed", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise LabError(f"the service answered {response.status}")
        return answer

    def kernels(self, body: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
        """The bare kernels of one request: a Feast read, search, gather, both rankers, re-rank."""
        service, snapshot, bundle = self._service, self._service.catalogue.snapshot, self._service.bundle
        outcome = self._answer(body)
        query, pool, ranked = outcome.query, outcome.pool, outcome.ranked
        few = np.asarray(pool.columns["light"], np.float32)
        best = np.ascontiguousarray(ranked.columns["inputs"])
        inside = pool.ids[pool.ids < len(snapshot)]
        yield lambda: self._store.read_by_service(int(body["user_id"]))
        if query.embedding is not None:
            vector, knobs = query.embedding, query.retrieve
            yield lambda: snapshot.index.search(vector, knobs.interest_limit, nprobe=knobs.nprobe, ef=knobs.ef)
        yield lambda: (snapshot.item_side[inside], snapshot.posts.stats[inside], snapshot.embeddings[inside])
        yield lambda: bundle.light(few)
        yield lambda: bundle.heavy(best)
        yield lambda: service.pipeline.selector.select(query, ranked)

    def hydration_speedup(self) -> float:
        """Time to read the post and creator columns of 1,000 posts from Feast / time to gather them from the
        snapshot."""
        catalogue = self._service.catalogue
        rows = self._rng.permutation(len(catalogue.snapshot))[:ITEMS].astype(np.int64)
        ids, creators = catalogue.post_id(rows), catalogue.creator_id(rows)
        gathered: list[Floats] = []
        gather_ms = median(_timed(lambda: gathered.append(catalogue.posts(rows).stats)) for _ in range(50))
        read: list[Floats] = []
        read_ms = _timed(lambda: read.append(self._read_items(ids, creators)))
        np.testing.assert_allclose(gathered[-1], read[-1], rtol=1e-6)
        return read_ms / gather_ms

    def recall(self) -> float:
        """recall@500 of the served index on its own posts."""
        snapshot = self._service.catalogue.snapshot
        exact = VectorIndex.build("flat", np.asarray(snapshot.embeddings)[: snapshot.indexed])
        knobs = self._config.retrieve
        return _recall(
            [exact.search(vector, NEIGHBOURS) for vector in self._askers],
            [snapshot.index.search(vector, NEIGHBOURS, nprobe=knobs.nprobe, ef=knobs.ef) for vector in self._askers],
        )

    def large_index(self) -> Mapping[str, float]:
        """Search time of an approximate index / of an exact index, interleaved on 500,000 vectors; and the recall of
        the approximate index."""
        exact_ms, approximate_ms = [], []
        exact: list[Ids] = []
        approximate: list[Ids] = []
        for vector in self._askers:
            ms, rows = _timed_result(partial(self._flat.search, vector, NEIGHBOURS))
            exact_ms.append(ms)
            exact.append(rows)
            ms, rows = _timed_result(partial(self._large.search, vector, NEIGHBOURS, nprobe=LARGE_NPROBE))
            approximate_ms.append(ms)
            approximate.append(rows)
        ratio = median(approximate_ms) / median(exact_ms)
        return {"ann_over_flat": ratio, "ann_recall_large": _recall(exact, approximate)}

    def _large_indices(self, embeddings: Floats) -> tuple[VectorIndex, VectorIndex, list[Floats]]:
        """An exact and an approximate index of vectors with the posts' distribution, and some users' vectors."""
        near = embeddings[self._rng.integers(0, len(embeddings), MANY)]
        noise = self._rng.normal(size=near.shape) * embeddings.std(axis=0) * 0.3
        many = (near + noise).astype(np.float32)
        askers = [self._answer(self.question(number)).query.embedding for number in range(QUESTIONS)]
        found = [vector for vector in askers if vector is not None]
        return VectorIndex.build("flat", many), VectorIndex.build(LARGE_KIND, many), found

    def _answer(self, body: Mapping[str, Any]) -> Outcome[FeedQuery]:
        query = self._service.query(body["user_id"], body["k"], [], {}, body["seed"])
        return self._service.answer(replace(query, deadline=Deadline.after_ms(10_000)))


def _connection(url: str) -> HTTPConnection:
    return HTTPConnection(urlsplit(url).netloc, timeout=5)


def _timed(work: Callable[[], object]) -> float:
    """Wall time of `work` in milliseconds."""
    return _timed_result(work)[0]


def _timed_with_cpu(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of `work` in milliseconds."""
    cpu_s = time.process_time()
    wall_ms = _timed(work)
    return wall_ms, (time.process_time() - cpu_s) * 1000


def _timed_result(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


def _recall(exact: list[Ids], approximate: list[Ids]) -> float:
    """Mean share of the exact neighbours that the approximate search returns."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(exact, approximate, strict=True)]))
