"""Reactions after a click: dwell, a like, a comment. Clickbait lowers dwell and likes.

Trade-off caused: an objective that counts clicks is easy to measure but rewards bait. An objective that counts
reactions after the click rewards content that users value. (Log-normal dwell: Yin et al., KDD 2013.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.clicks import Array, sigmoid
from feed_ranking.world.posts import MEDIA_DWELL

Given = npt.NDArray[np.float32]


def expected_dwell_s(
    config: WorldConfig, taste: Given, quality: Given, bait: Given, media: npt.NDArray[np.int64]
) -> Array:
    """Mean dwell after a click, in seconds. `draw_dwell_s` draws log-normally with this mean and `dwell_spread`."""
    log_mean = (
        np.log(config.dwell_mean_s)
        + config.taste_dwell * taste
        + config.quality_dwell * quality
        - config.bait_dwell * bait
        + np.asarray(MEDIA_DWELL)[media]
    )
    mean: Array = np.exp(log_mean, dtype=np.float64)
    return mean


def draw_dwell_s(config: WorldConfig, mean_s: Array, rng: np.random.Generator) -> Array:
    noise = rng.normal(-(config.dwell_spread**2) / 2, config.dwell_spread, mean_s.shape)
    dwell: Array = mean_s * np.exp(noise)
    return dwell


def p_like(config: WorldConfig, taste: Given, quality: Given, bait: Given) -> Array:
    """float64: p(like | click)."""
    return sigmoid(
        config.like_bias + config.taste_like * taste + config.quality_like * quality - config.bait_like * bait
    )


def p_comment(config: WorldConfig, taste: Given, quality: Given, is_followed: npt.NDArray[np.bool_]) -> Array:
    """float64: p(comment | click)."""
    return sigmoid(
        config.comment_bias
        + config.taste_comment * taste
        + config.quality_comment * quality
        + config.follow_comment * is_followed
    )
