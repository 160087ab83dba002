"""Query hydration before retrieval: one read of the feature store, then one pass of the user tower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from feed_ranking.domain import FeedQuery, Floats
from feed_ranking.features.views import default_user, user_from_row
from feed_ranking.model.inputs import Priors, topic_table, user_tower_inputs
from infra.errors import DependencyError
from infra.feature_store.early_read import read_early
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow
from infra.pipeline.trace import Trace

STAGE = "query"


@dataclass(frozen=True)
class UserHydrator:
    """Reads the user's row. If the store is unavailable or the user is unknown, it uses the declared defaults."""

    features: GuardedFeatures
    priors: Priors
    name: str = "user_features"

    def hydrate(self, query: FeedQuery) -> FeedQuery:
        if isinstance(query.read, DependencyError):
            raise query.read
        return self._with(query, query.read or self.features.read(query.user_id, query.deadline))

    async def read_before(self, query: FeedQuery, trace: Trace) -> FeedQuery:
        """Return the query with the user's row, or with the error of the read."""
        return replace(query, read=await read_early(self.features, query.user_id, query.deadline, trace, STAGE))

    def fallback(self, query: FeedQuery, cause: DependencyError) -> FeedQuery:
        return self._with(query, cause.row if isinstance(cause, StaleRow) else None)

    def _with(self, query: FeedQuery, row: FeatureRow | None) -> FeedQuery:
        user = default = default_user(self.priors.topics)
        is_cold, feature_ts = row is None or not row.is_known, 0.0
        if row is not None:
            user = user_from_row(row, default)
            feature_ts = row.newest_ts.timestamp() if row.newest_ts is not None else 0.0
        table = topic_table(user, self.priors)
        return replace(query, user=user, user_topics=table, is_cold=is_cold, feature_ts=feature_ts)


@dataclass(frozen=True)
class InterestHydrator:
    """Computes the user's vector in the two-tower space. Without the tower there is no vector and no vector search."""

    tower: Callable[[Floats], Floats]
    priors: Priors
    name: str = "user_tower"

    def hydrate(self, query: FeedQuery) -> FeedQuery:
        return replace(query, embedding=self.tower(user_tower_inputs(query.user, self.priors, query.user_topics))[0])

    def fallback(self, query: FeedQuery, cause: DependencyError) -> FeedQuery:
        return query
