"""The specification of the wide-and-deep model for this design: its tables, and the rows of a sample for a fit.

The prior spread of each table was chosen once, on the last day of a world like SMALL with another seed. The spread of a
user's own vector is small, because few impressions inform it and the user's click rate has the same information. Most
pairs of segment and ad have no effect of their own, and a few have a large one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import CtrConfig
from ctr_prediction.model.inputs import HOUR, NUMERIC, Priors, crosses, numeric
from ctr_prediction.offline.networks.wide_deep import Shape, Table
from ctr_prediction.offline.samples import Sample
from infra.training.row_mix import live_weights

SEGMENT_WIDTH = 8


def shape_of(config: CtrConfig) -> Shape:
    world, crosses = config.world, 2**config.model.cross_bits
    return Shape(
        numeric=len(NUMERIC),
        deep=(
            Table("user", world.users, 2, 0.1),
            Table("segment", world.segments, SEGMENT_WIDTH, 0.3),
            Table("clock", world.segments, 2, 0.3),
            Table("publisher", world.publishers, 4, 0.25),
            Table("ad", world.ads, 4, 0.25),
            Table("campaign", world.campaigns, 4, 0.25),
            Table("creative", world.creatives, SEGMENT_WIDTH, 0.3),
        ),
        wide=(
            Table("segment_ad", crosses, 1, 0.3, few=True),
            Table("publisher_hour", crosses, 1, 0.05),
            Table("user_ad", crosses, 1, 1.0),
            Table("retargeted", 2, 1, 3.0),
        ),
        products=(("segment", "creative"),),
        scaled=(("clock", HOUR),),
    )


def ids_of(sample: Sample, config: CtrConfig) -> dict[str, npt.NDArray[np.int32]]:
    """Table -> int32[n]: the row of each impression."""
    users = sample.users
    plain = {
        "user": sample.user_id,
        "segment": users.segment,
        "clock": users.segment,
        "publisher": sample.context.publisher,
        "ad": sample.ad_id,
        "campaign": sample.ads.campaign,
        "creative": sample.ads.creative,
    }
    model = config.model
    crossed = crosses(sample.user_id, users, model.user_cross, sample.ad_id, sample.context, model.cross_bits)
    return {name: values.astype(np.int32) for name, values in plain.items()} | crossed


def rows_of(sample: Sample, config: CtrConfig, priors: Priors) -> dict[str, npt.NDArray[Any]]:
    """The sample as `loop.Rows`. With `imbalance` = weight, kept negatives have a larger weight for dropped ones. Live
    rows have the weight of the knob `live_weight`."""
    by_weight = config.sample.imbalance == "weight"
    of_live = live_weights(sample.context.at_ts, config.world, config.sample.live_weight)
    return {
        "numeric": numeric(sample.users, sample.ads, sample.context, sample.seen, priors),
        **ids_of(sample, config),
        "slot": sample.slot.astype(np.int32),
        "clicked": sample.clicked,
        "weight": sample.weight * of_live if by_weight else of_live,
    }


def share_of(config: CtrConfig) -> float:
    """The share w for the loss: 1 with weights, because the weighted sample represents all traffic already."""
    return 1.0 if config.sample.imbalance == "weight" else config.sample.negative_share
