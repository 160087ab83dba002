"""The online read as serving may use it: under a deadline, in a bulkhead, behind a breaker, with an age check.

Feast itself returns a row of any age without a word, so the age is checked here against the world's clock.
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
    """Carries the row, because an old row is usually better than none."""

    def __init__(self, row: FeatureRow, age_s: float) -> None:
        super().__init__(f"features are {age_s / 3600:.1f} h old")
        self.row = row


@dataclass(frozen=True)
class GuardedFeatures:
    """`timeout_ms` bounds one read; `ttl_s` is how old a row may be before it counts as stale.

    `saw_age_s` is told the age of every row that was read.
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
        return self._young(self.breaker.call(lambda: self._read_in_time(entity_id, deadline)))

    async def read_soon(self, entity_id: int, deadline: Deadline) -> FeatureRow:
        """The same, awaited."""
        return self._young(await self.breaker.call_soon(lambda: self._await_in_time(entity_id, deadline)))

    def read_many(self, entity_ids: Sequence[int], deadline: Deadline) -> list[FeatureRow | StaleRow]:
        """Read a row for each at once, in their order; in the place of a row that is too old stands what carries it.
        Raises a `DependencyError` where none could be read."""
        rows = self.breaker.call(lambda: self._read_many_in_time(entity_ids, deadline))
        return [self._young_or_stale(row) for row in rows]

    def _read_many_in_time(self, entity_ids: Sequence[int], deadline: Deadline) -> list[FeatureRow]:
        with self._in_time(deadline) as timeout:
            return self.bulkhead.run(lambda: self.inner.read_many(entity_ids), timeout)

    def _young_or_stale(self, row: FeatureRow) -> FeatureRow | StaleRow:
        try:
            return self._young(row)
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
            if timeout.at == deadline.at:  # the request itself came too late, the store may be well
                raise
            raise FeatureStoreSlow(f"no row within {self.timeout_ms:.0f} ms") from exc

    def _young(self, row: FeatureRow) -> FeatureRow:
        if row.event_ts is not None:
            age_s = self.clock.now() - row.event_ts.timestamp()
            if self.saw_age_s is not None:
                self.saw_age_s(age_s)
            if age_s > self.ttl_s:
                raise StaleRow(row, age_s)
        return row
