"""The online read for serving, with a deadline, a bulkhead, a circuit breaker and an age check.

Feast returns rows of any age without a warning, so this module checks the age against the world's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from infra.errors import DeadlineExceeded, FeaturesStale, FeatureStoreSlow
from infra.feature_store.port import FeatureRow, OnlineFeatures
from infra.live.clock import WorldClock
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline


class StaleRow(FeaturesStale):
    """A row is older than its time to live. Carries the row, because an old row is usually better than none."""

    def __init__(self, row: FeatureRow, age_s: float) -> None:
        super().__init__(f"features are {age_s / 3600:.1f} h old")
        self.row = row


@dataclass(frozen=True)
class GuardedFeatures:
    """Guards an online feature store. `timeout_ms` bounds one read; a row older than `ttl_s` is stale.

    `saw_age_s` is called with the age in seconds of every row that was read.
    """

    inner: OnlineFeatures
    breaker: CircuitBreaker
    bulkhead: Bulkhead
    timeout_ms: float
    ttl_s: float
    clock: WorldClock
    saw_age_s: Callable[[float], None] | None = None

    def read(self, entity_id: int, deadline: Deadline) -> FeatureRow:
        """Read one row. Raises a `DependencyError`; `StaleRow` carries the row that is too old."""
        return self._check_age(self.breaker.call(lambda: self._read_in_time(entity_id, deadline)))

    async def read_soon(self, entity_id: int, deadline: Deadline) -> FeatureRow:
        """Read one row in an event loop. Raises as `read` does."""
        return self._check_age(await self.breaker.call_soon(lambda: self._await_in_time(entity_id, deadline)))

    def probe(self) -> None:
        """Read the row of entity 0 and ignore its content. Raises a `DependencyError` if no answer comes in time.

        The breaker counts the read, so an idle service opens and closes it as a busy one does.
        """
        self.breaker.call(lambda: self._read_in_time(0, Deadline.after_ms(2 * self.timeout_ms)))

    def read_many(self, entity_ids: Sequence[int], deadline: Deadline) -> list[FeatureRow | StaleRow]:
        """Read the rows of several entities with one read, in their order. A stale row is returned as a `StaleRow`.

        Raises a `DependencyError` if the read fails.
        """
        rows = self.breaker.call(lambda: self._read_many_in_time(entity_ids, deadline))
        return [self._fresh_or_stale(row) for row in rows]

    def _read_many_in_time(self, entity_ids: Sequence[int], deadline: Deadline) -> list[FeatureRow]:
        with self._in_time(deadline) as timeout:
            return self.bulkhead.run(lambda: self.inner.read_many(entity_ids), timeout)

    def _fresh_or_stale(self, row: FeatureRow) -> FeatureRow | StaleRow:
        try:
            return self._check_age(row)
        except StaleRow as stale:
            return stale

    def _read_in_time(self, entity_id: int, deadline: Deadline) -> FeatureRow:
        with self._in_time(deadline) as timeout:
            return self.bulkhead.run(lambda: self.inner.read_online(entity_id), timeout)

    async def _await_in_time(self, entity_id: int, deadline: Deadline) -> FeatureRow:
        with self._in_time(deadline) as timeout:
            return await self.bulkhead.run_async(lambda: self.inner.read_soon(entity_id), timeout)

    @contextmanager
    def _in_time(self, deadline: Deadline) -> Iterator[Deadline]:
        timeout = deadline.tighter(self.timeout_ms)
        try:
            yield timeout
        except DeadlineExceeded as exc:
            if timeout.at == deadline.at:  # the request's own deadline passed; the store may be healthy
                raise
            raise FeatureStoreSlow(f"the feature store returned no row within {self.timeout_ms:.0f} ms") from exc

    def _check_age(self, row: FeatureRow) -> FeatureRow:
        if row.event_ts is not None:
            age_s = self.clock.now() - row.event_ts.timestamp()
            if self.saw_age_s is not None:
                self.saw_age_s(age_s)
            if age_s > self.ttl_s:
                raise StaleRow(row, age_s)
        return row
