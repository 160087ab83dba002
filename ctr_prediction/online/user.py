"""Query hydration before targeting: a cache lookup, or one read of the feature store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ctr_prediction.domain import AdQuery, UserFeatures
from ctr_prediction.features.views import default_user, user_from_row
from ctr_prediction.items.catalog import Market
from ctr_prediction.online.cache import CachedUser, FeatureCache, known_of
from infra.errors import DependencyError
from infra.feature_store.early_read import read_early
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow
from infra.pipeline.trace import Trace
from infra.resilience.deadline import Deadline

STAGE = "query"


@dataclass(frozen=True)
class UserHydrator:
    """Adds the user's features. If the store is unavailable, it uses the user's expired cache entry, or else the
    defaults of the user's segment from the snapshot."""

    features: GuardedFeatures
    cache: FeatureCache
    market: Market
    name: str = "user_features"

    def hydrate(self, query: AdQuery) -> AdQuery:
        known = self.cache.fresh(query.user_id)
        if known is None:
            row = query.read
            if isinstance(row, DependencyError):
                raise row
            if row is None:
                row = self.features.read(query.user_id, query.deadline)
            known = self._known(query.user_id, row)
            self.cache.put(query.user_id, known)
        return self._with(query, known)

    async def read_before(self, query: AdQuery, trace: Trace) -> AdQuery:
        """Return the query with the user's row, or with the error of the read. Cached users are not read."""
        if self.cache.has(query.user_id):
            return query
        return query.but(read=await read_early(self.features, query.user_id, query.deadline, trace, STAGE))

    def read_all(
        self, user_ids: Iterable[int], deadline: Deadline, trace: Trace
    ) -> Mapping[int, FeatureRow | DependencyError]:
        """Read the rows of all users that are not cached in one call. Returns the row or the error for each user."""
        missing = [user_id for user_id in user_ids if not self.cache.has(user_id)]
        if not missing:
            return {}
        try:
            with trace.query_stage(STAGE, "feature_store"):
                return dict(zip(missing, self.features.read_many(missing, deadline), strict=True))
        except DependencyError as exc:
            return dict.fromkeys(missing, exc)

    def fallback(self, query: AdQuery, cause: DependencyError) -> AdQuery:
        if isinstance(cause, StaleRow):
            known = self._known(query.user_id, cause.row)
        else:
            known = self.cache.expired(query.user_id) or self._known(query.user_id, None)
        return self._with(query, known)

    def _known(self, user_id: int, row: FeatureRow | None) -> CachedUser:
        default, now_s = self._default(user_id), self.cache.clock()
        if row is None or not row.is_known:
            return known_of(user_id, default, self.market, is_cold=True, feature_ts=0.0, read_s=now_s)
        feature_ts = row.newest_ts.timestamp() if row.newest_ts is not None else 0.0
        user = user_from_row(row, default)
        return known_of(user_id, user, self.market, is_cold=False, feature_ts=feature_ts, read_s=now_s)

    def _default(self, user_id: int) -> UserFeatures:
        segments = self.market.snapshot.user_segment
        return _default_of(int(segments[user_id]) if user_id < len(segments) else 0)

    def _with(self, query: AdQuery, known: CachedUser) -> AdQuery:
        return query.with_cached_user(known, max(self.cache.clock() - known.read_s, 0.0))


@lru_cache(maxsize=10_000)
def _default_of(segment: int) -> UserFeatures:
    return default_user(segment)
