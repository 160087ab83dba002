"""The driver's features: a cache lookup, or one read of the feature store. A quote without a driver needs neither."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from eta_prediction.domain import NONE
from eta_prediction.features.views import DriverFeatures, driver_from_row, no_driver
from eta_prediction.online.query import EtaQuery
from infra.errors import DependencyError
from infra.feature_store.early_read import read_early
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow
from infra.pipeline.trace import Trace


@dataclass(frozen=True)
class KnownDriver:
    features: DriverFeatures
    feature_ts: float
    read_s: float


@dataclass
class DriverCache:
    """The newest rows of the last `most` drivers. A row is fresh for `ttl_s`; an expired one replaces a failed read."""

    ttl_s: float
    most: int
    clock: Callable[[], float] = time.monotonic
    _rows: OrderedDict[int, KnownDriver] = field(default_factory=OrderedDict)

    def get(self, driver_id: int, *, expired: bool = False) -> KnownDriver | None:
        found = self._rows.get(driver_id)
        if found is None or (not expired and self.clock() - found.read_s > self.ttl_s):
            return None
        return found

    def put(self, driver_id: int, known: KnownDriver) -> None:
        self._rows[driver_id] = known
        self._rows.move_to_end(driver_id)
        while len(self._rows) > self.most:
            self._rows.popitem(last=False)


@dataclass(frozen=True)
class DriverHydrator:
    features: GuardedFeatures
    cache: DriverCache
    name: str = "driver_features"

    async def read_before(self, query: EtaQuery, trace: Trace) -> EtaQuery:
        """The query with the driver's row, or with the error of the read."""
        if query.driver_id == NONE or self.cache.get(query.driver_id) is not None:
            return query
        return query.but(read=await read_early(self.features, query.driver_id, query.deadline, trace, "driver"))

    def hydrate(self, query: EtaQuery) -> EtaQuery:
        """Raises a `DependencyError` if there is no fresh row; `fallback` then answers."""
        if query.driver_id == NONE:
            return query
        known = self.cache.get(query.driver_id)
        if known is None:
            row = query.read if query.read is not None else self.features.read(query.driver_id, query.deadline)
            if isinstance(row, DependencyError):
                raise row
            known = self._known(row)
            self.cache.put(query.driver_id, known)
        return query.but(driver=known.features, driver_ts=known.feature_ts)

    def fallback(self, query: EtaQuery, cause: DependencyError) -> EtaQuery:
        """The stale row, an expired row of the cache, or no driver."""
        known = self._known(cause.row) if isinstance(cause, StaleRow) else self.cache.get(query.driver_id, expired=True)
        return query if known is None else query.but(driver=known.features, driver_ts=known.feature_ts)

    def _known(self, row: FeatureRow) -> KnownDriver:
        if not row.is_known:
            return KnownDriver(no_driver(), 0.0, self.cache.clock())
        at_ts = row.newest_ts.timestamp() if row.newest_ts is not None else 0.0
        return KnownDriver(driver_from_row(row), at_ts, self.cache.clock())
