"""Side effect after the response: the entry for the prediction log."""

from __future__ import annotations

from dataclasses import replace

from feed_ranking.domain import FeedQuery
from feed_ranking.events.codec import pack, user_as_lists
from feed_ranking.events.schemas import Prediction
from feed_ranking.online.service import FeedService
from infra.pipeline.runner import Outcome


def prediction_of(service: FeedService, outcome: Outcome[FeedQuery]) -> Prediction:
    """The log entry, with everything that a replay needs. It takes a millisecond, so it runs after the response."""
    query, batch, catalogue = outcome.query, outcome.ranked, service.catalogue
    place = {row: at for at, row in enumerate(batch.ids.tolist())}
    return Prediction(
        slate_id=query.slate_id,
        user_id=query.user_id,
        k=query.k,
        seed=query.seed,
        request_ts=query.now_ts,
        model_version=service.model_version,
        model_digest=service.bundle.digest,
        policy=query.policy,
        is_cold=query.is_cold,
        degraded=outcome.degraded,
        knobs=dict(query.knobs),
        seen=query.seen.tolist(),
        feature_ts=query.feature_ts,
        stats_ts=float(batch.columns["stats_ts"][0]) if len(batch) else 0.0,
        features=user_as_lists(query.user),
        embedding=[] if query.embedding is None else query.embedding.tolist(),
        post_ids=catalogue.post_id(batch.ids).tolist(),
        creator_ids=catalogue.creator_id(batch.ids).tolist(),
        published_ts=catalogue.column("published_ts", batch.ids).tolist(),
        inputs=pack(batch.columns["inputs"]),
        scores=batch.columns["score"].tolist(),
        chosen=[place[row] for row in outcome.slate.ids.tolist()],
        propensity=outcome.slate.columns["propensity"].tolist(),
        explored=outcome.slate.columns["explored"].astype(bool).tolist(),
    )


def shadow_prediction(challenger: FeedService, query: FeedQuery) -> Prediction:
    """The log entry of the same request, computed by a rollout's challenger."""
    again = challenger.query(query.user_id, query.k, query.seen.tolist(), query.knobs, query.seed)
    return replace(prediction_of(challenger, challenger.answer(again)), shadow_of=query.slate_id)
