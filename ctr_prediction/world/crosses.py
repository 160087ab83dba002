"""Pairs of segment and ad that have something of their own: a local shop, a name that one scene knows.

Lesson: no vector says which pairs these are, so only the history of the pair itself does. That is what the wide part of
a wide-and-deep model is for (**memorisation**; Cheng et al., DLRS 2016).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import WorldConfig
from ctr_prediction.world.campaigns import Ads, Campaigns
from infra.simulation.streams import stream


def make_crosses(config: WorldConfig, campaigns: Campaigns, ads: Ads) -> npt.NDArray[np.bool_]:
    """bool[segments, ads]: `cross_share` of the pairs that are targeted at all."""
    rng = stream(config.seed, "crosses")
    is_targeted = campaigns.targets[ads.campaign]
    found = is_targeted & (rng.random(is_targeted.shape) < config.cross_share)  # by ad: later ones change no earlier
    return np.ascontiguousarray(found.T)
