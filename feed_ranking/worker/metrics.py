"""How people like what they get, counted from what they did. `lab live` prints the oracle's expectation beside it."""

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
    """Counters; a ratio of two of them is a figure per session or per impression."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lab_online_{name}", text, labels, registry=registry)

        self.sessions = counter("sessions", "sessions that saw something")
        self.impressions = counter("impressions", "items that came on a screen", "kind", "policy")
        self.reactions = counter("reactions", "what people did", "kind")
        self.dwell = counter("dwell_seconds", "seconds that people stayed with what they clicked")
        self.new_creators = counter("new_creator_impressions", "posts on a screen by creators of the last seven days")
        self.ended = counter("sessions_ended", "sessions that ended at an item, by what it was", "by")
        for kind in ("click", "like", "comment"):
            self.reactions.labels(kind)
        for kind in ("post", "ad"):
            self.ended.labels(kind)
            for policy in POLICIES:
                self.impressions.labels(kind, policy)

    def saw(self, impressions: Sequence[Impression], joined_ts: npt.NDArray[np.float64]) -> None:
        """`joined_ts` float64[creators]: when each creator joined."""
        for one in impressions:
            policy = one.policy if one.policy in POLICIES else "other"  # an app may send anything
            self.impressions.labels("ad" if one.post_id < 0 else "post", policy).inc()
            if one.depth == 0:
                self.sessions.inc()
            is_known = 0 <= one.creator_id < len(joined_ts)
            if is_known and one.request_ts - joined_ts[one.creator_id] < NEW_CREATOR_DAYS * DAY_S:
                self.new_creators.inc()

    def did(self, reactions: Sequence[Reaction]) -> None:
        for one in reactions:
            for kind, happened in (("click", one.clicked), ("like", one.liked), ("comment", one.commented)):
                if happened:
                    self.reactions.labels(kind).inc()
            self.dwell.inc(one.dwell_s)
            if one.left:
                self.ended.labels("ad" if one.post_id < 0 else "post").inc()
