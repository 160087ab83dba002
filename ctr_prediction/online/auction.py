"""Stage 3, auction: ranks and prices the bidders by the rules of `model/auction.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctr_prediction.domain import RANDOM_POLICY, AdQuery, Array, Floats, Ints
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.ad_inputs import seen_of_few
from ctr_prediction.model.artifact import Bundle
from ctr_prediction.model.auction import run_auction
from ctr_prediction.online.predict import p_of
from infra.pipeline.candidates import Candidates


@dataclass(frozen=True)
class AuctionSelector:
    """Fills the page's slots. Adds the columns `bid`, `price`, `propensity`, `p_click` (in the slot that the ad won),
    `seen`, and `place` (the index among the bidders)."""

    market: Market
    bundle: Bundle
    name: str = "auction"

    def select(self, query: AdQuery, candidates: Candidates) -> tuple[Candidates, dict[str, int]]:
        rules, bids = query.auction, bids_of(self.market, query, candidates.ids)
        held = run_auction(
            candidates.columns["score"],
            bids,
            examination_of(self.bundle, query),
            query.slots,
            rules.reserve_cpm / 1000,
            rules.pricing,
            query.seed,
            uniform=query.policy == RANDOM_POLICY,
        )
        chosen, ads = held.chosen, candidates.ids[held.chosen]
        won = {
            "place": chosen,
            "bid": bids[chosen],
            "price": held.price,
            "propensity": held.propensity,
            "p_click": p_of(self.bundle, query, candidates, chosen),
            "seen": np.array(seen_of_few(query.user, ads.tolist()), np.int64),
        }
        slate = Candidates(ads, candidates.sources[chosen], won)  # type: ignore[arg-type]
        return slate, {"outbid": len(candidates) - len(slate)}


def bids_of(market: Market, query: AdQuery, ads: Ints) -> Array:
    """float64[n]: the bid per click of each ad's campaign, or the bid in the request."""
    bids: Array = market.bid.take(ads)
    if query.bids:
        named = [query.bids.get(ad, bid) for ad, bid in zip(ads.tolist(), bids.tolist(), strict=True)]
        return np.array(named, np.float64)
    return bids


def examination_of(bundle: Bundle, query: AdQuery) -> Floats:
    """float32[SLOTS]: examination of each slot relative to the first, as learned by the model that the query uses."""
    return (bundle.undebiased if query.predict.position == "naive" else bundle.debiased).examination
