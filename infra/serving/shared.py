"""The parts of a serving process that all releases share: feature store guard, faults and clock.

A design's bootstrap creates a service from these parts and a release.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra.errors import DependencyError
from infra.faults.switch import FaultSwitch, SwitchedFeatureStore
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import OnlineFeatures
from infra.feature_store.watch import StoreWatch
from infra.live.clock import WorldClock
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.settings import Settings

log = logging.getLogger(__name__)
WARM_UP_MS = 5_000


@dataclass
class SharedParts:
    """The shared parts, created once per process. `saw_age_s` receives the age in seconds of every feature row read.

    `clock` is the world clock that continues across releases. If it is None, each release starts its own clock at
    the end of its log. `stats_path` is the file to which the worker writes the live counts. `store_watch` probes the
    store of the newest release.
    """

    settings: Settings
    breaker: CircuitBreaker
    bulkhead: Bulkhead
    faults: FaultSwitch
    saw_age_s: Callable[[float], None] | None = None
    clock: WorldClock | None = None
    stats_path: Path | None = None
    store_watch: StoreWatch = field(default_factory=StoreWatch)

    def clock_of(self, release: Release) -> WorldClock:
        """Return the clock for serving `release`. Its time is never before the end of the release's log."""
        clock = self.clock or WorldClock(release.world_now)
        clock.at_least(release.world_now)
        return clock

    def guarded(self, store: OnlineFeatures, clock: WorldClock, *, timeout_ms: float, ttl_s: float) -> GuardedFeatures:
        """Wrap `store` with the process's faults, breaker and bulkhead."""
        features = GuardedFeatures(
            inner=SwitchedFeatureStore(store, self.faults),
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            timeout_ms=timeout_ms,
            ttl_s=ttl_s,
            clock=clock,
            saw_age_s=self.saw_age_s,
        )
        self.store_watch.watch(features)
        return features


def warm_store(features: GuardedFeatures) -> None:
    """Read one row before the first request, because the first read opens connections. A failing store does not stop
    the start-up: it only degrades responses."""
    try:
        features.bulkhead.run(lambda: features.inner.read_online(0), Deadline.after_ms(WARM_UP_MS))
    except DependencyError as exc:
        log.warning("starting without the feature store, responses will be degraded: %s", exc)
