"""The online metric of a rollout (`infra.telemetry.canary`): clicks per auction.

Revenue is not the metric: it rises when a model predicts too many clicks, because winners then pay more. Predictions
that are too high are a matter of the calibration's guardrail.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ctr_prediction.evaluation.live.drift import MATURE_S
from ctr_prediction.events.paths import CLICKS, PREDICTIONS
from ctr_prediction.events.schemas import MAX_PLACES
from infra.telemetry.canary.source import Outcomes


class AdsCanary:
    """The `CanarySource` of the ads."""

    predictions, id_column = PREDICTIONS, "auction_id"
    user_key = "user_id"
    labels = (CLICKS,)
    measure = "clicks per auction"
    settle_s = MATURE_S
    counts_silence = True

    def outcomes(self, tables: Mapping[str, pa.Table]) -> Outcomes:
        """A row per click. Clicks that are reported after `settle_s` may count or not; both models lose them alike."""
        auction = tables[CLICKS]["impression_id"].to_numpy().astype(np.int64) // MAX_PLACES
        return Outcomes(auction, auction, np.ones(len(auction)))


CANARY = AdsCanary()
