"""Stage `quote`: the minutes that the rider sees, a quantile of the prediction, or a random time when exploring.

An explored quote is the usual one times a factor. How often riders cancel, and how late trips are, can then be measured
for quotes that the policy would never give. The propensity is logged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import EXPLORE_POLICY, SERVING_POLICY
from eta_prediction.model.quote import quoted_s
from eta_prediction.online.query import EtaQuery

FACTORS = (0.7, 0.85, 1.0, 1.2, 1.4)


@dataclass(frozen=True)
class Quoter:
    name: str = "quantile"

    def quote(self, query: EtaQuery) -> EtaQuery:
        usual = quoted_s(query.quantiles, query.quote.quote_quantile)
        share = query.quote.explore_share
        chance = np.random.default_rng(query.seed).random(2) if share else (1.0, 0.0)
        if chance[0] >= share:
            return query.but(quoted_s=usual, policy=SERVING_POLICY, propensity=1.0 - share)
        factor = FACTORS[int(chance[1] * len(FACTORS))]
        return query.but(quoted_s=usual * factor, policy=EXPLORE_POLICY, propensity=share / len(FACTORS))
