"""Online quality metrics, counted from users' reactions. `lab live` prints the oracle's expected values beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter

from feed_ranking.domain import RANDOM_POLICY, SERVING_POLICY
from feed_ranking.events.schemas import Impression, Reaction
from infra.columns import DAY_S

NEW_CREATOR_DAYS = 7.0
POLICIES = (SERVING_POLICY, RANDOM_POLICY)


class OnlineMetrics:
    """The worker's counters. The ratio of two counters is a figure per session or per impression."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lab_online_{name}", text, labels, registry=registry)

        self.sessions = counter("sessions", "sessions with at least one impression")
        self.impressions = counter("impressions", "items shown on a screen", "kind", "policy")
        self.reactions = counter("reactions", "clicks, likes and comments", "kind")
        self.dwell = counter("dwell_seconds", "seconds that users spent on clicked posts")
        self.new_creators = counter(
            "new_creator_impressions", "posts shown whose creator joined in the last seven days"
        )
        self.ended = counter("sessions_ended", "sessions that ended at an item, by kind of item", "by")
        for kind in ("click", "like", "comment"):
            self.reactions.labels(kind)
        for kind in ("post", "ad"):
            self.ended.labels(kind)
            for policy in POLICIES:
                self.impressions.labels(kind, policy)

    def count_impressions(self, impressions: Sequence[Impression], joined_ts: npt.NDArray[np.float64]) -> None:
        """Count impressions; `joined_ts` float64[creators] is the time at which each creator joined."""
        for one in impressions:
            policy = (
                one.policy if one.policy in POLICIES else "other"
            )  # bounds the label values: apps may send any text
            self.impressions.labels("ad" if one.post_id < 0 else "post", policy).inc()
            if one.depth == 0:
                self.sessions.inc()
            is_known = 0 <= one.creator_id < len(joined_ts)
            if is_known and one.request_ts - joined_ts[one.creator_id] < NEW_CREATOR_DAYS * DAY_S:
                self.new_creators.inc()

    def count_reactions(self, reactions: Sequence[Reaction]) -> None:
        for one in reactions:
            for kind, happened in (("click", one.clicked), ("like", one.liked), ("comment", one.commented)):
                if happened:
                    self.reactions.labels(kind).inc()
            self.dwell.inc(one.dwell_s)
            if one.left:
                self.ended.labels("ad" if one.post_id < 0 else "post").inc()
