"""Before retrieval: who is asking? One read of the feature store, then one pass of the user tower."""

from __future__ import annotations

from dataclasses import dataclass, replace

from feed_ranking.bundle import Bundle
from feed_ranking.domain import FeedQuery, UserFeatures
from feed_ranking.features import default_user, user_from_row, user_tower_inputs
from infra.errors import DependencyError
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow


@dataclass(frozen=True)
class UserHydrator:
    """Reads the user's row. Without the store, or for an unknown user, the declared defaults stand in."""

    features: GuardedFeatures
    bundle: Bundle
    name: str = "user_features"

    def hydrate(self, query: FeedQuery) -> FeedQuery:
        return self._with(query, self.features.read(query.user_id, query.deadline))

    def fallback(self, query: FeedQuery, cause: DependencyError) -> FeedQuery:
        return self._with(query, cause.row if isinstance(cause, StaleRow) else None)

    def _with(self, query: FeedQuery, row: FeatureRow | None) -> FeedQuery:
        default: UserFeatures = default_user(self.bundle.meta)
        is_cold = row is None or not row.is_known
        user = default if row is None else user_from_row(row, default)
        embedding = self.bundle.user_tower(user_tower_inputs(user))[0]
        return replace(query, user=user, is_cold=is_cold, embedding=embedding)
