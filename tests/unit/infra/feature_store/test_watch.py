"""The watch exports whether the store of the newest release answers a probe."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.errors import FeatureStoreUnavailable
from infra.faults.catalogue import FEATURE_STORE
from infra.faults.switch import FaultSwitch
from infra.feature_store.port import FeatureRow
from infra.live.clock import WorldClock
from infra.resilience.breaker import BreakerState, CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import Settings


class Store:
    def read_online(self, entity_id: int) -> FeatureRow:
        return FeatureRow({"id": entity_id}, None)


@pytest.fixture
def shared() -> SharedParts:
    bulkhead = Bulkhead("feature_store", workers=1, queue=0)
    return SharedParts(Settings(), CircuitBreaker("feature_store", open_s=0.0), bulkhead, FaultSwitch(FEATURE_STORE))


def exported(shared: SharedParts) -> float | None:
    registry = CollectorRegistry()
    registry.register(shared.store_watch)
    return registry.get_sample_value("lab_feature_store_up")


def guard(shared: SharedParts, store: Any) -> None:
    shared.guarded(store, WorldClock(0.0), timeout_ms=1000, ttl_s=60)


def test_no_value_is_exported_before_the_first_probe(shared: SharedParts) -> None:
    shared.store_watch.look()
    assert exported(shared) is None


def test_value_follows_the_store_and_the_breaker_closes_without_requests(shared: SharedParts) -> None:
    guard(shared, Store())
    seen = []
    for fault in ("", "down", ""):
        if fault:
            shared.faults.inject("feature_store", fault, 0.0)
        else:
            shared.faults.clear("feature_store")
        for _ in range(25):
            shared.store_watch.look()
        seen.append((exported(shared), shared.breaker.state is BreakerState.CLOSED))
    assert seen == [(1.0, True), (0.0, False), (1.0, True)]


def test_full_bulkhead_leaves_the_value(shared: SharedParts) -> None:
    guard(shared, Store())
    shared.store_watch.look()
    assert shared.bulkhead._places.acquire(blocking=False)
    shared.store_watch.look()
    assert exported(shared) == 1.0


def test_store_of_a_new_release_replaces_the_old_one(shared: SharedParts) -> None:
    class Broken:
        def read_online(self, entity_id: int) -> FeatureRow:
            raise FeatureStoreUnavailable("gone")

    guard(shared, Broken())
    shared.store_watch.look()
    assert exported(shared) == 0.0
    guard(shared, Store())
    shared.store_watch.look()
    assert exported(shared) == 1.0
