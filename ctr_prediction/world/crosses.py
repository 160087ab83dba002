"""Pairs of segment and ad with an effect of their own, such as a local shop.

Lesson: embeddings cannot predict these pairs; only the history of the pair itself can. They are the purpose of the wide
part of a wide-and-deep model (**memorisation**; Cheng et al., DLRS 2016).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import WorldConfig
from ctr_prediction.world.campaigns import Ads, Campaigns
from infra.simulation.streams import stream


def make_crosses(config: WorldConfig, campaigns: Campaigns, ads: Ads) -> npt.NDArray[np.bool_]:
    """bool[segments, ads]: a random `cross_share` of the targeted pairs."""
    rng = stream(config.seed, "crosses")
    is_targeted = campaigns.targets[ads.campaign]
    found = is_targeted & (
        rng.random(is_targeted.shape) < config.cross_share
    )  # drawn by ad: later ads do not change earlier ones
    return np.ascontiguousarray(found.T)
