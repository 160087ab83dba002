"""The online metric of a rollout (`infra.telemetry.canary`): attention per session, from users' reactions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from feed_ranking.config import ObjectiveConfig
from feed_ranking.events.paths import LOG, PREDICTIONS
from infra.telemetry.canary.source import Outcomes

WEIGHTS = ObjectiveConfig()


class FeedCanary:
    """The `CanarySource` of the feed."""

    predictions, id_column = PREDICTIONS, "slate_id"
    user_key = "user_id"
    labels = (LOG,)
    measure = "attention per session, s"
    settle_s = 10.0
    """The simulated users react at once, and the worker writes the log every five seconds. A later reaction counts at
    the next look, and is missing at the last one, for both models alike."""
    counts_silence = False

    def outcomes(self, tables: Mapping[str, pa.Table]) -> Outcomes:
        """A row per shown item, weighed as the slates are."""
        log = tables[LOG]
        clicked, dwell_s, liked, commented = (
            log[name].to_numpy().astype(np.float64) for name in ("clicked", "dwell_s", "liked", "commented")
        )
        value = (
            WEIGHTS.click_weight * clicked
            + WEIGHTS.dwell_weight * dwell_s
            + WEIGHTS.like_weight * liked
            + WEIGHTS.comment_weight * commented
        )
        slate, session = (log[name].to_numpy().astype(np.int64) for name in ("slate_id", "session_id"))
        return Outcomes(slate, session, value)


CANARY = FeedCanary()
