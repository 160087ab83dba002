"""Side effect after the response: the entry for the auction log."""

from __future__ import annotations

from dataclasses import replace

import orjson

from ctr_prediction.domain import AdQuery
from ctr_prediction.events.codec import pack
from ctr_prediction.events.schemas import Auction
from ctr_prediction.online.service import CtrService
from infra.pipeline.runner import Outcome


def auction_of(service: CtrService, outcome: Outcome[AdQuery]) -> Auction:
    """The log entry, with everything that a replay needs."""
    query, bidders, slate = outcome.query, outcome.ranked, outcome.slate
    columns, side = slate.columns, query.view.side(query.predict.position)
    return Auction(
        auction_id=query.auction_id,
        user_id=query.user_id,
        publisher_id=int(query.context.publisher[0]),
        device=int(query.context.device[0]),
        slots=query.slots,
        seed=query.seed,
        request_ts=query.now_ts,
        model_version=service.model_version,
        model_digest=service.bundle.digest,
        policy=query.policy,
        is_cold=query.is_cold,
        degraded=outcome.degraded,
        knobs=dict(query.knobs),
        feature_ts=query.feature_ts,
        stats_ts=query.view.stats_ts,
        features=orjson.Fragment(query.known.logged),  # type: ignore[arg-type]
        ads=pack(bidders.ids, "<i4"),
        numbers=pack(side.numbers.take(bidders.ids, axis=0), "<f4"),
        scores=pack(bidders.columns["score"], "<f4"),
        bids={str(ad): bid for ad, bid in query.bids.items()},
        chosen=columns["place"].tolist(),
        prices=columns["price"].tolist(),
        propensity=columns["propensity"].tolist(),
    )


def shadow_auction(challenger: CtrService, query: AdQuery) -> Auction:
    """The log entry of the same request, computed by a rollout's challenger."""
    again = challenger.query(
        query.user_id,
        int(query.context.publisher[0]),
        int(query.context.device[0]),
        query.slots,
        query.knobs,
        seed=query.seed,
        exclude=query.exclude,
        candidates=query.candidates,
        bids=query.bids,
    )
    return replace(auction_of(challenger, challenger.answer(again)), shadow_of=query.auction_id)
