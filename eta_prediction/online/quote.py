"""Stage `quote`: the minutes that the rider sees, with the policy that chose them and its propensity."""

from __future__ import annotations

from dataclasses import dataclass

from eta_prediction.model.quote import decide
from eta_prediction.online.query import EtaQuery


@dataclass(frozen=True)
class Quoter:
    name: str = "quantile"

    def quote(self, query: EtaQuery) -> EtaQuery:
        quoted, policy, propensity = decide(query.quantiles, query.quote, query.seed)
        return query.but(quoted_s=quoted, policy=policy, propensity=propensity)
