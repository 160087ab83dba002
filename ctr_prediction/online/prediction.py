"""After the answer: the auction as it was held, for the log."""

from __future__ import annotations

from ctr_prediction.domain import AdQuery
from ctr_prediction.events import Auction
from ctr_prediction.online.pipeline import CtrService
from ctr_prediction.predictions import pack, user_as_lists
from infra.pipeline.runner import Outcome


def auction_of(service: CtrService, outcome: Outcome[AdQuery]) -> Auction:
    """Complete enough to be held again. It takes a while, so it is made off the request's path."""
    query, bidders, slate = outcome.query, outcome.ranked, outcome.slate
    place = {ad: at for at, ad in enumerate(bidders.ids.tolist())}
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
        features=user_as_lists(query.user),
        ads=pack(bidders.ids, "<i4"),
        numbers=pack(query.view.debiased.numbers[bidders.ids], "<f4"),
        scores=pack(bidders.columns["score"], "<f4"),
        bids={str(ad): bid for ad, bid in query.bids.items()},
        chosen=[place[ad] for ad in slate.ids.tolist()],
        prices=slate.columns["price"].tolist(),
        propensity=slate.columns["propensity"].tolist(),
    )
