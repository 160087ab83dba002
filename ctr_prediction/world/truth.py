"""The generated world as one value in memory. The configuration and its seed determine it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import WorldConfig
from ctr_prediction.world.affinity import Affinity, make_affinity
from ctr_prediction.world.campaigns import (
    Ads,
    Campaigns,
    Publishers,
    make_ads,
    make_campaigns,
    make_publishers,
)
from ctr_prediction.world.crosses import make_crosses
from ctr_prediction.world.retargeting import Retargeting, make_retargeting
from ctr_prediction.world.users import People, make_people


@dataclass(frozen=True)
class World:
    """All true parameters of one configuration; `crosses` bool[segments, ads]."""

    config: WorldConfig
    people: People
    publishers: Publishers
    campaigns: Campaigns
    ads: Ads
    affinity: Affinity
    crosses: npt.NDArray[np.bool_]
    retargeting: Retargeting


def make_world(config: WorldConfig) -> World:
    people, campaigns, ads = make_people(config), make_campaigns(config), make_ads(config)
    return World(
        config,
        people,
        make_publishers(config),
        campaigns,
        ads,
        make_affinity(config),
        make_crosses(config, campaigns, ads),
        make_retargeting(config, ads),
    )
