"""Stage 2, predict: how likely would each of these ads be clicked, in each slot?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ctr_prediction.bundle import Bundle, Model
from ctr_prediction.domain import SLOTS, AdQuery, Floats
from ctr_prediction.market import AdSide, Market, inputs, seen_of
from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates

Network = Callable[[Floats], Floats]


@dataclass(frozen=True)
class InputHydrator:
    """Adds `inputs` float32[n, inputs], `seen` int64[n], and `stats_ts`, which the ads' counts are of."""

    bundle: Bundle
    market: Market
    name: str = "inputs"

    def hydrate(self, query: AdQuery, candidates: Candidates) -> Candidates:
        ads = candidates.ids
        model, side = self._model(query)
        seen = seen_of(query.user, ads, len(self.market.snapshot.campaign))
        x = inputs(model, side, ads, query.user_id, query.user, query.context, seen, query.known)
        return candidates.with_columns(inputs=x, seen=seen)  # type: ignore[arg-type]

    def fallback(self, query: AdQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        """All of it lies in memory, so there is nothing poorer to fall back to."""
        return self.hydrate(query, candidates)

    def _model(self, query: AdQuery) -> tuple[Model, AdSide]:
        if query.predict.position == "naive":
            return self.bundle.undebiased, query.view.undebiased
        return self.bundle.debiased, query.view.debiased


@dataclass(frozen=True)
class ClickPredictor:
    """Adds `p` float32[n, SLOTS], the probability of a click in each slot, and the first of them as `score`. When the
    network is missing, the smoothed click rate of the ad so far stands in."""

    bundle: Bundle
    networks: Mapping[str, Network]
    name: str = "click_predictor"

    def score(self, query: AdQuery, candidates: Candidates) -> Candidates:
        network = network_of(query)
        if not len(candidates):
            return self._with(candidates, np.empty((0, SLOTS), np.float32))
        z = self.networks[network](candidates.columns["inputs"])
        return self._with(candidates, self.bundle.p_in_slots(network, z, query.predict.calibrated))

    def fallback(self, query: AdQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        priors = self.bundle.debiased.priors
        ctr = priors.ctr * np.exp(query.view.debiased.numbers[candidates.ids, 0])
        return self._with(candidates, np.outer(ctr, priors.looks).astype(np.float32))

    def keep(self, query: AdQuery, candidates: Candidates) -> None:
        return None

    @staticmethod
    def _with(candidates: Candidates, p: Floats) -> Candidates:
        return candidates.with_columns(p=p, score=p[:, 0])


def network_of(query: AdQuery) -> str:
    return "naive" if query.predict.position == "naive" else query.predict.model
