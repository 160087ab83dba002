"""The click probability of an examined post: taste, quality, bait, a follow, recency, bursts and creator fatigue.

Trade-offs caused: **recency** (an excellent post of yesterday loses to a good post of now, so features must be fresh
and retrieval must find new posts quickly) and **creator fatigue** (the third post of a creator is worth less than its
own score, so the best slate differs from the list of the best posts).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from infra.columns import HOUR_S

Array = npt.NDArray[np.float64]
RECENCY_UNIT_H = 6.0


def p_click_if_examined(
    config: WorldConfig,
    *,
    taste: npt.NDArray[np.float32],
    quality: npt.NDArray[np.float32],
    bait: npt.NDArray[np.float32],
    is_followed: npt.NDArray[np.bool_],
    age_s: Array,
    burst: Array,
    creator_before: npt.NDArray[np.int64],
) -> Array:
    """Logistic model; the arguments broadcast. `creator_before`: earlier posts of the creator in the session."""
    logit = (
        config.click_bias
        + config.taste_click * taste
        + config.quality_click * quality
        + config.bait_click * bait
        + config.follow_click * is_followed
        - config.recency_click * np.log1p(np.maximum(age_s, 0.0) / HOUR_S / RECENCY_UNIT_H)
        - config.fatigue_click * creator_before
        + burst
    )
    return sigmoid(logit)


def sigmoid(logit: Array) -> Array:
    p: Array = 1.0 / (1.0 + np.exp(-np.asarray(logit, np.float64)))
    return p
