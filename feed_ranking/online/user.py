"""Query hydration before retrieval: one read of the feature store, then one pass of the user tower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from feed_ranking.domain import FeedQuery, Floats
from feed_ranking.features.views import default_user, user_from_row
from feed_ranking.model.inputs import Priors, user_tower_inputs
from infra.errors import DependencyError
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow


@dataclass(frozen=True)
class UserHydrator:
    """Reads the user's row. If the store is unavailable or the user is unknown, it uses the declared defaults."""

    features: GuardedFeatures
    priors: Priors
    name: str = "user_features"

    def hydrate(self, query: FeedQuery) -> FeedQuery:
        return self._with(query, self.features.read(query.user_id, query.deadline))

    def fallback(self, query: FeedQuery, cause: DependencyError) -> FeedQuery:
        return self._with(query, cause.row if isinstance(cause, StaleRow) else None)

    def _with(self, query: FeedQuery, row: FeatureRow | None) -> FeedQuery:
        default = default_user(self.priors.topics)
        is_cold = row is None or not row.is_known
        if row is None:
            return replace(query, user=default, is_cold=is_cold)
        feature_ts = row.newest_ts.timestamp() if row.newest_ts is not None else 0.0
        return replace(query, user=user_from_row(row, default), is_cold=is_cold, feature_ts=feature_ts)


@dataclass(frozen=True)
class InterestHydrator:
    """Computes the user's vector in the two-tower space. Without the tower there is no vector and no vector search."""

    tower: Callable[[Floats], Floats]
    priors: Priors
    name: str = "user_tower"

    def hydrate(self, query: FeedQuery) -> FeedQuery:
        return replace(query, embedding=self.tower(user_tower_inputs(query.user, self.priors))[0])

    def fallback(self, query: FeedQuery, cause: DependencyError) -> FeedQuery:
        return query
