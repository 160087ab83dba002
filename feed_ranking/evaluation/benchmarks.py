"""The feed's speed against references that do the same work, side by side: one round after the other, in one process.

Each claim is a ratio of two medians of one round; the lab takes the median of several rounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
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
from infra.pipeline.runner import Outcome
from infra.registry.release import Release
from infra.resilience.deadline import Deadline
from infra.settings import Settings

T = TypeVar("T")
QUESTIONS = 200
ITEMS = 1_000
NEIGHBOURS = 500
MANY = 500_000
"""vectors of the large index: posts that are alive in a feed of a hundred times the size"""
LARGE_KIND, LARGE_NPROBE = "ivf", 64


class FeedBenchmarks:
    """Needs a release that was built with naive hydration, and a service of it at `url`."""

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
        """The body of one request; users in no order, one of twenty unknown."""
        users = self._config.world.users
        return {"user_id": 10**9 + number if number % 20 == 19 else number * 7919 % users, "k": 20, "seed": number}

    def round(self) -> Mapping[str, float]:
        """One measurement of everything, by id of the figure."""
        return {
            "http_over_kernels": self.http_over_kernels(),
            "hydration_speedup": self.hydration_speedup(),
            "ann_recall": self.recall(),
            **self.large_index(),
        }

    def http_over_kernels(self) -> float:
        """p50 of a request by one client over HTTP, over p50 of the kernels alone on the same inputs, in turns."""
        over_http, alone = [], []
        with closing(HTTPConnection(urlsplit(self._url).netloc, timeout=5)) as connection:
            for number in self._rng.integers(0, 10**6, QUESTIONS).tolist():
                body = self.question(number)
                over_http.append(_timed(lambda body=body: self._ask(connection, body)))  # type: ignore[misc]
                alone.append(sum(_timed(kernel) for kernel in self.kernels(body)))
        return median(over_http[10:]) / median(alone[10:])

    def _ask(self, connection: HTTPConnection, body: Mapping[str, Any]) -> None:
        """One request by the leanest client that Python has, so that it is the service that is measured."""
        connection.request("POST", "/v1/feed", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise LabError(f"the service answered {response.status}")

    def kernels(self, body: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
        """One read by Feast's own method, search, gather, both rankers, re-rank."""
        service, snapshot, bundle = self._service, self._service.catalogue.snapshot, self._service.bundle
        outcome = self._answer(body)
        query, pool, ranked = outcome.query, outcome.pool, outcome.ranked
        inputs, few = pool.columns["inputs"], np.ascontiguousarray(pool.columns["inputs"][:, bundle.light_columns])
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
        assert len(inputs) == len(few)

    def hydration_speedup(self) -> float:
        """Reading the post and creator columns of 1,000 posts from Feast, over gathering them from the snapshot."""
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
        """recall@500 of the index that serves, on its own posts."""
        snapshot = self._service.catalogue.snapshot
        exact = VectorIndex.build("flat", np.asarray(snapshot.embeddings)[: snapshot.indexed])
        knobs = self._config.retrieve
        return _recall(
            [exact.search(vector, NEIGHBOURS) for vector in self._askers],
            [snapshot.index.search(vector, NEIGHBOURS, nprobe=knobs.nprobe, ef=knobs.ef) for vector in self._askers],
        )

    def large_index(self) -> Mapping[str, float]:
        """Time of an approximate index over that of an exact one among 500,000 vectors, in turns, and its recall."""
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
        """An exact and an approximate index of vectors like the posts' own, and the vectors of some users."""
        near = embeddings[self._rng.integers(0, len(embeddings), MANY)]
        noise = self._rng.normal(size=near.shape) * embeddings.std(axis=0) * 0.3
        many = (near + noise).astype(np.float32)
        askers = [self._answer(self.question(number)).query.embedding for number in range(QUESTIONS)]
        found = [vector for vector in askers if vector is not None]
        return VectorIndex.build("flat", many), VectorIndex.build(LARGE_KIND, many), found

    def _answer(self, body: Mapping[str, Any]) -> Outcome[FeedQuery]:
        query = self._service.query(body["user_id"], body["k"], [], {}, body["seed"])
        return self._service.answer(replace(query, deadline=Deadline.after_ms(10_000)))


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds on the clock."""
    return _timed_result(work)[0]


def _timed_result(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


def _recall(exact: list[Ids], approximate: list[Ids]) -> float:
    """Mean share of the exact neighbours that the approximate search found."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(exact, approximate, strict=True)]))
