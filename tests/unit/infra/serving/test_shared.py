"""All releases of a process share one clock and one guard around the feature store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.errors import FeatureStoreUnavailable
from infra.faults.catalogue import FEATURE_STORE
from infra.faults.switch import FaultSwitch
from infra.feature_store.port import FeatureRow
from infra.live.clock import WorldClock
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.serving.shared import SharedParts, warm_store
from infra.settings import Settings

RELEASE = Release("tiny", "tiny-smoke", 1, "digest", "models", "items", "features", 1_700_000_000.0)


class Store:
    reads = 0

    def read_online(self, entity_id: int) -> FeatureRow:
        self.reads += 1
        return FeatureRow({"id": entity_id}, None)


@pytest.fixture
def shared() -> SharedParts:
    bulkhead = Bulkhead("feature_store", workers=1, queue=1)
    return SharedParts(Settings(), CircuitBreaker("feature_store"), bulkhead, FaultSwitch(FEATURE_STORE))


def guarded(shared: SharedParts, store: Any) -> Any:
    return shared.guarded(store, WorldClock(0.0), timeout_ms=1000, ttl_s=60)


def test_faults_affect_the_store_of_every_release(shared: SharedParts) -> None:
    first, second = guarded(shared, Store()), guarded(shared, Store())
    assert first.read(7, Deadline.after_ms(1000)).values == {"id": 7}
    shared.faults.inject("feature_store", "down", 0.0)
    for one in (first, second):
        with pytest.raises(FeatureStoreUnavailable):
            one.read(7, Deadline.after_ms(1000))


def test_warm_store_reads_once_and_tolerates_a_store_that_is_down(shared: SharedParts) -> None:
    store = Store()
    warm_store(guarded(shared, store))
    assert store.reads == 1
    shared.faults.inject("feature_store", "down", 0.0)
    warm_store(guarded(shared, store))
    assert store.reads == 1


def test_world_clock_continues_across_releases_and_is_never_before_a_release(shared: SharedParts) -> None:
    assert shared.clock_of(RELEASE).now() == pytest.approx(RELEASE.world_now, abs=5)
    shared.clock = WorldClock(RELEASE.world_now + 1000)
    assert shared.clock_of(RELEASE) is shared.clock
    assert shared.clock.now() >= RELEASE.world_now + 1000
    shared.clock_of(replace(RELEASE, world_now=RELEASE.world_now + 5000))
    assert shared.clock.now() >= RELEASE.world_now + 5000
