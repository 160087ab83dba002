"""Stage 2, predict: the probability of a click on each candidate ad, in each slot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ctr_prediction.domain import SLOTS, AdQuery, Array, Floats, Ints
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.ad_inputs import inputs, seen_of
from ctr_prediction.model.artifact import Bundle
from ctr_prediction.model.split_layer import StudentSide
from infra.columns import DAY_S, HOUR_S
from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates

Network = Callable[[Floats], Floats]
NO_SCORES = np.empty(0, np.float32)


@dataclass(frozen=True)
class InputHydrator:
    """Adds `inputs` float32[n, any] for the network of this request: the sums of the first layer for a student, all
    model inputs for the other networks."""

    bundle: Bundle
    market: Market
    name: str = "inputs"

    def hydrate(self, query: AdQuery, candidates: Candidates) -> Candidates:
        ads, student = candidates.ids, query.view.student
        if student is not None and network_of(query) == "student":
            return candidates.with_columns(inputs=self._sums(query, student, ads))
        seen = seen_of(query.user, ads, len(self.market.snapshot.campaign))
        side, known = query.view.side(query.predict.position), query.known
        model = self.bundle.debiased
        if query.predict.position == "naive":  # the cached values of the user use the priors of the debiased model
            model, known = self.bundle.undebiased, None
        x = inputs(model, side, ads, query.user_id, query.user, query.context, seen, known)
        return candidates.with_columns(inputs=x)

    def _sums(self, query: AdQuery, student: StudentSide, ads: Ints) -> Floats:
        segment, context, at_ts = int(query.user.segment[0]), query.context, query.now_ts
        hour = int(at_ts % DAY_S // HOUR_S)
        of_place = self.market.of_place(segment, int(context.publisher[0]), int(context.device[0]), hour)
        eligible = query.view.eligible
        bidders = student.bidders(segment, eligible[segment]) if 0 <= segment < len(eligible) else None
        return student.sums(ads, query.user_id, segment, query.known.of_user, of_place, at_ts, bidders)

    def fallback(self, query: AdQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        """Call `hydrate`: all inputs are in memory, so no cheaper fallback exists."""
        return self.hydrate(query, candidates)


@dataclass(frozen=True)
class ClickPredictor:
    """Adds `score` float32[n], p(click) in the first slot, and `logit` float32[n], from which `p_of` computes p(click)
    in the other slots. If the network is unavailable, `score` is the smoothed click rate of the ad and `logit` is
    NaN."""

    bundle: Bundle
    networks: Mapping[str, Network]
    name: str = "click_predictor"

    def score(self, query: AdQuery, candidates: Candidates) -> Candidates:
        network = network_of(query)
        if not len(candidates):
            return candidates.with_columns(score=NO_SCORES, logit=NO_SCORES)
        z = self.networks[network](candidates.columns["inputs"])
        return candidates.with_columns(score=self.bundle.p_click(network, z, 0, query.predict.calibrated), logit=z)

    def fallback(self, query: AdQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        rate = self.bundle.debiased.priors.ctr * np.exp(query.view.debiased.numbers[candidates.ids, 0])
        return candidates.with_columns(
            score=rate.astype(np.float32), logit=np.full(len(candidates), np.nan, np.float32)
        )


def p_of(bundle: Bundle, query: AdQuery, scored: Candidates, chosen: Ints) -> Array:
    """float64[k]: p(click) of the `scored` ads at `chosen` int64[k], in the slots 0 to k - 1."""
    network, how, z = network_of(query), query.predict.calibrated, scored.columns["logit"][chosen].tolist()
    if any(math.isnan(one) for one in z):
        rate: Array = scored.columns["score"][chosen] * np.asarray(bundle.debiased.priors.examination)[: len(chosen)]
        return rate
    return np.array([bundle.p_click(network, one, slot, how) for slot, one in enumerate(z)], np.float64)


def p_everywhere(bundle: Bundle, query: AdQuery, scored: Candidates) -> Array:
    """float64[n, SLOTS]: p(click) of each of the `scored` ads in each slot."""
    z = scored.columns["logit"]
    if np.isnan(z).any():
        return np.outer(scored.columns["score"], bundle.debiased.priors.examination)
    return bundle.p_click(network_of(query), z[:, None], np.arange(SLOTS), query.predict.calibrated).astype(np.float64)


def network_of(query: AdQuery) -> str:
    return "naive" if query.predict.position == "naive" else query.predict.model
