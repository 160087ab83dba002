"""Why a post is clicked: it was looked at, and it was relevant to the one who looked.

Trade-off caused: position bias. What stood on top was clicked more, whatever it was; a model that learns from
the log without the position learns to repeat the log. (Position-based model: Craswell et al., WSDM 2008.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.people import People
from feed_ranking.world.posts import Posts


def examination(config: WorldConfig, position: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Probability that a user looks at `position` (from 0): (1 + position) ** -decay."""
    looks: npt.NDArray[np.float64] = np.power(1.0 + position, -config.examination_decay)
    return looks


def click_if_examined(
    config: WorldConfig, people: People, posts: Posts, users: npt.NDArray[np.int64], shown: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """True probability that a user clicks a post at which they look; `users` and `shown` broadcast together."""
    creators = posts.creator[shown]
    logit = (
        config.click_bias
        + config.taste_weight * people.taste[users, posts.topic[shown]]
        + config.quality_weight * posts.quality[shown]
        + config.follow_weight * people.is_following(users, creators)
    )
    probability: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))
    return probability
