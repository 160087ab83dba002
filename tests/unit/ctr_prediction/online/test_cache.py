"""The user cache has a bounded size and age, matches a simple model, and serves stale rows without a store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from ctr_prediction.config import AuctionConfig, PredictConfig, TargetConfig
from ctr_prediction.domain import AdQuery, Context
from ctr_prediction.features.views import default_user
from ctr_prediction.model.inputs import person_numbers
from ctr_prediction.online.cache import CachedUser, CacheMetrics, FeatureCache, known_of
from ctr_prediction.online.user import UserHydrator
from infra.errors import DependencyError
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow
from infra.live.clock import WorldClock
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from tests.support.ctr_events import START
from tests.support.ctr_market import PRIORS, USERS, market

TTL_S, SIZE = 10.0, 3
MARKET = market()
RESULTS = ("hit", "miss", "expired", "stale")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Cached:
    """A cache with a manual clock and access to its metrics."""

    def __init__(self, ttl_s: float = TTL_S, size: int = SIZE) -> None:
        self.registry, self.clock = CollectorRegistry(), Clock()
        self.cache = FeatureCache(ttl_s, size, CacheMetrics(self.registry), self.clock)

    def put(self, user_id: int) -> CachedUser:
        known = known_of(user_id, default_user(), MARKET, is_cold=False, feature_ts=START, read_s=self.clock.now_s)
        self.cache.put(user_id, known)
        return known

    def counted(self) -> dict[str, float]:
        return {result: self.value("lookups_total", {"result": result}) for result in RESULTS}

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        found = self.registry.get_sample_value(f"lab_feature_cache_{name}", dict(labels or {}))
        assert found is not None
        return found


class CacheModel(RuleBasedStateMachine):
    """Reference LRU cache: users ordered by last access; the oldest is evicted at capacity."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Cached()
        self.model: OrderedDict[int, CachedUser] = OrderedDict()
        self.expected = dict.fromkeys(RESULTS, 0)

    @rule(user=st.integers(0, 5))
    def put(self, user: int) -> None:
        self.model[user] = self.real.put(user)
        self.model.move_to_end(user)
        if len(self.model) > SIZE:
            del self.model[next(iter(self.model))]

    @rule(user=st.integers(0, 5))
    def ask(self, user: int) -> None:
        known = self.model.get(user)
        if known is not None:
            self.model.move_to_end(user)
        is_fresh = known is not None and self.real.clock.now_s - known.read_s <= TTL_S
        assert self.real.cache.has(user) == is_fresh
        assert self.real.cache.fresh(user) is (known if is_fresh else None)
        self.expected["miss" if known is None else "hit" if is_fresh else "expired"] += 1

    @rule(user=st.integers(0, 5))
    def ask_without_a_store(self, user: int) -> None:
        known = self.model.get(user)
        assert self.real.cache.expired(user) is known
        self.expected["stale"] += known is not None

    @precondition(lambda self: self.model)
    @rule(seconds=st.sampled_from([1.0, TTL_S / 2, TTL_S, TTL_S + 0.5]))
    def wait(self, seconds: float) -> None:
        self.real.clock.now_s += seconds

    @invariant()
    def size_metric_is_correct_and_every_lookup_is_counted(self) -> None:
        if self.model:
            assert self.real.value("users") == len(self.model) <= SIZE
        assert self.real.counted() == self.expected
        assert self.real.value("age_seconds_count") == self.expected["hit"] + self.expected["stale"]


CacheModel.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestCacheModel = CacheModel.TestCase


def test_cached_row_is_fresh_within_its_ttl_and_kept_afterwards() -> None:
    cached = Cached()
    known = cached.put(1)
    for waited, found in ((TTL_S, known), (0.001, None)):
        cached.clock.now_s += waited
        assert cached.cache.fresh(1) is found
    assert cached.cache.expired(1) is known
    assert cached.counted() == {"hit": 1, "miss": 0, "expired": 1, "stale": 1}
    assert cached.value("age_seconds_sum") == pytest.approx(TTL_S + TTL_S + 0.001)


def test_zero_ttl_keeps_rows_for_a_store_that_is_down() -> None:
    cached = Cached(ttl_s=0.0)
    known = cached.put(1)
    cached.clock.now_s += 0.001
    assert cached.cache.fresh(1) is None
    assert cached.cache.expired(1) is known


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 8))
@settings(deadline=None, max_examples=50)
def test_cache_keeps_the_most_recent_users(users: list[int], size: int) -> None:
    cached = Cached(size=size)
    for user in users:
        cached.put(user)
    last = list(dict.fromkeys(reversed(users)))
    assert [user for user in range(31) if cached.cache.has(user)] == sorted(last[:size])


def test_concurrent_access_keeps_the_size_limit_and_all_counts() -> None:
    cached, failed = Cached(size=5), list[BaseException]()

    def work(seed: int) -> None:
        try:
            for user in np.random.default_rng(seed).integers(0, 20, 400).tolist():
                if cached.cache.fresh(user) is None:
                    cached.put(user)
        except BaseException as exc:  # otherwise lost with its thread
            failed.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sum(cached.cache.has(user) for user in range(20)) == 5
    assert sum(cached.counted().values()) == 4 * 400


class Store:
    """In-memory store that can be down and counts its reads."""

    def __init__(self) -> None:
        self.is_down, self.reads, self.written_ts = False, 0, START

    def read_online(self, entity: int) -> FeatureRow:
        self.reads += 1
        if self.is_down:
            raise DependencyError("the store does not answer")
        if entity >= USERS:
            return FeatureRow({}, None)
        when = datetime.fromtimestamp(self.written_ts, UTC)
        return FeatureRow({"segment": 5, "clicks": float(entity)}, when, when)

    async def read_soon(self, entity: int) -> FeatureRow:
        return self.read_online(entity)


class Asked:
    """The hydrator with the real guard and cache, called as by the pipeline."""

    def __init__(self) -> None:
        self.store, self.cached, self.world = Store(), Cached(size=100), WorldClock(START)
        guarded = GuardedFeatures(
            inner=self.store,
            breaker=CircuitBreaker("feature_store", open_s=0.0),
            bulkhead=Bulkhead("feature_store", workers=1, queue=1),
            timeout_ms=60_000.0,
            ttl_s=3600.0,
            clock=self.world,
        )
        self.hydrator = UserHydrator(guarded, self.cached.cache, MARKET)

    def __call__(self, user_id: int) -> tuple[AdQuery, DependencyError | None]:
        """Return the hydrated query and the cause of a degraded answer."""
        query = AdQuery(
            user_id, 4, Context.one(0, 0, START), 0, Deadline.after_ms(1e6), TargetConfig(), PredictConfig(),
            AuctionConfig(), default_user(),
        )  # fmt: skip
        try:
            return self.hydrator.hydrate(query), None
        except DependencyError as exc:
            return self.hydrator.fallback(query, exc), exc


def test_hydrator_reads_a_user_once_per_ttl() -> None:
    ask = Asked()
    for waited, reads, age_s in ((0.0, 1, 0.0), (TTL_S, 1, TTL_S), (0.5, 2, 0.0)):
        ask.cached.clock.now_s += waited
        query, why = ask(3)
        assert why is None
        assert ask.store.reads == reads
        assert (query.user.clicks.tolist(), query.is_cold, query.feature_ts) == ([3.0], False, START)
        assert query.feature_age_s == pytest.approx(age_s)
        np.testing.assert_array_equal(query.known.person, person_numbers(query.user, PRIORS)[0])
    assert ask.cached.counted() == {"hit": 1, "miss": 1, "expired": 1, "stale": 0}


def test_hydrator_uses_an_expired_row_and_degrades_with_the_store_down() -> None:
    ask = Asked()
    ask(3)
    ask.store.is_down = True
    query, why = ask(3)
    assert why is None, "a fresh row needs no store"
    ask.cached.clock.now_s += 20 * TTL_S
    query, why = ask(3)
    assert why is not None
    assert (query.user.clicks.tolist(), query.is_cold) == ([3.0], False)
    assert query.feature_age_s == pytest.approx(20 * TTL_S)
    assert ask.cached.counted() == {"hit": 1, "miss": 1, "expired": 1, "stale": 1}


def test_hydrator_uses_uncached_segment_defaults_with_the_store_down() -> None:
    ask = Asked()
    ask.store.is_down = True
    query, why = ask(4)
    assert why is not None
    assert (query.is_cold, query.feature_ts, query.user.segment.tolist()) == (True, 0.0, [4])
    assert query.known.is_cold
    ask.store.is_down = False
    query, why = ask(4)
    assert (why, query.is_cold, query.user.segment.tolist()) == (None, False, [5])


def test_user_missing_from_the_store_is_cold_and_not_degraded() -> None:
    ask = Asked()
    query, why = ask(USERS + 5)
    assert (why, query.is_cold, query.feature_ts, query.user.segment.tolist()) == (None, True, 0.0, [0])
    assert ask(USERS + 5)[1] is None
    assert ask.store.reads == 1, "an unknown user is cached as well"


def test_stale_store_row_is_used_as_degraded_and_not_cached() -> None:
    ask = Asked()
    ask.store.written_ts = START - 7200.0
    for reads in (1, 2):
        query, why = ask(3)
        assert isinstance(why, StaleRow)
        assert (query.user.clicks.tolist(), query.feature_ts) == ([3.0], START - 7200.0)
        assert ask.store.reads == reads
