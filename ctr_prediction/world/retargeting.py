"""Retargeting: users that have visited an advertiser's shop, and the ads of those shops.

Lesson: only these pairs of user and ad have an effect of their own. A user × ad cross for all other users fits noise; a
cross for these users fits the effect. (Retargeting as in Lambrecht and Tucker, 2013.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import NONE, Ints
from ctr_prediction.world.campaigns import Ads
from infra.simulation.streams import start_ts, stream


@dataclass(frozen=True)
class Retargeting:
    """`ads` int64[users, retargeted_ads], `NONE` for users that visited no shop. These ads are eligible for the user in
    any segment."""

    ads: Ints

    def is_retargeted(self, users: Ints, ads: Ints) -> npt.NDArray[np.bool_]:
        """bool: whether each pair is a retargeted one; `users` and `ads` broadcast together."""
        found: npt.NDArray[np.bool_] = (self.ads[users] == np.asarray(ads)[..., None]).any(axis=-1)
        return found


def make_retargeting(config: WorldConfig, ads: Ads) -> Retargeting:
    """Draw the retargeted users and their ads, from the ads at the start of the history."""
    rng = stream(config.seed, "retargeting")
    there = int(np.searchsorted(ads.start_ts, start_ts(config)))
    chosen = rng.integers(0, there, (config.users, config.retargeted_ads))
    is_in = rng.random(config.users) < config.retargeted_share
    return Retargeting(np.where(is_in[:, None], chosen, NONE))
