"""Users who have been at an advertiser's, and the ads that follow them around.

Lesson: here, and nowhere else, does it matter which user sees which ad. A cross of user × ad learned on everyone else
learns noise; learned here it learns who came back. (Retargeting as in Lambrecht and Tucker, 2013.)
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
    """`ads` int64[users, retargeted_ads], `NONE` for everyone who was nowhere. These ads may be shown to them whatever
    their segment."""

    ads: Ints

    def is_retargeted(self, users: Ints, ads: Ints) -> npt.NDArray[np.bool_]:
        """Both broadcast together."""
        found: npt.NDArray[np.bool_] = (self.ads[users] == np.asarray(ads)[..., None]).any(axis=-1)
        return found


def make_retargeting(config: WorldConfig, ads: Ads) -> Retargeting:
    """Of ads that were there when the history began."""
    rng = stream(config.seed, "retargeting")
    there = int(np.searchsorted(ads.start_ts, start_ts(config)))
    chosen = rng.integers(0, there, (config.users, config.retargeted_ads))
    is_in = rng.random(config.users) < config.retargeted_share
    return Retargeting(np.where(is_in[:, None], chosen, NONE))
