"""Writes a live prediction log from a service in this process, in the format of the service and its worker."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from feed_ranking.domain import RANDOM_POLICY, FeedQuery
from feed_ranking.events.codec import pack, user_as_lists
from feed_ranking.events.schemas import Prediction
from feed_ranking.model.slate_policy import fill_at_random
from feed_ranking.online.service import FeedService
from infra.columns import timestamps
from infra.pipeline.runner import Outcome
from infra.resilience.deadline import Deadline


def ask(
    service: FeedService,
    user: int,
    seed: int,
    *,
    seen: Sequence[int] = (),
    knobs: Mapping[str, Any] | None = None,
    policy: str = "ranked_v1",
    feature_ts: float | None = None,
) -> Prediction:
    """Send one request to the service and return its log entry."""
    turned = dict(knobs or {})
    query = replace(service.query(user, 10, list(seen), turned, seed=seed), deadline=Deadline.after_ms(60_000))
    return logged(service, service.answer(query), turned, policy, feature_ts)


def logged(
    service: FeedService, outcome: Outcome[FeedQuery], knobs: Mapping[str, Any], policy: str, feature_ts: float | None
) -> Prediction:
    query, batch, catalogue = outcome.query, outcome.ranked, service.catalogue
    built = float(service.catalogue.snapshot.meta["world_now"])
    place = {row: at for at, row in enumerate(batch.ids.tolist())}
    chosen = [place[row] for row in outcome.slate.ids.tolist()]
    propensity, explored = outcome.slate.columns["propensity"], outcome.slate.columns["explored"].astype(bool)
    if policy == RANDOM_POLICY:
        drawn = fill_at_random(len(batch), len(chosen), np.random.default_rng([query.seed, 0]))
        chosen, propensity, explored = drawn.chosen.tolist(), drawn.propensity, drawn.explored
    return Prediction(
        slate_id=query.seed,
        user_id=query.user_id,
        k=query.k,
        seed=query.seed,
        request_ts=query.now_ts,
        model_version=service.model_version,
        model_digest=service.bundle.digest,
        policy=policy,
        is_cold=query.is_cold,
        degraded=outcome.degraded,
        knobs=dict(knobs),
        seen=query.seen.tolist(),
        feature_ts=feature_ts if feature_ts is not None else 0.0 if query.is_cold else built,
        stats_ts=built,
        features=user_as_lists(query.user),
        embedding=[] if query.embedding is None else query.embedding.tolist(),
        post_ids=catalogue.post_id(batch.ids).tolist(),
        creator_ids=catalogue.creator_id(batch.ids).tolist(),
        published_ts=catalogue.column("published_ts", batch.ids).tolist(),
        inputs=pack(batch.columns["inputs"]),
        scores=batch.columns["score"].tolist(),
        chosen=chosen,
        propensity=propensity.tolist(),
        explored=explored.tolist(),
    )


def write_predictions(root: Path, predictions: Sequence[Prediction]) -> None:
    """Replace the prediction log by two complete files and one incomplete file."""
    shutil.rmtree(root / "live" / "predictions", ignore_errors=True)
    directory = root / "live" / "predictions" / "date=2026-01-11" / "hour=00"
    directory.mkdir(parents=True)
    half = len(predictions) // 2
    for number, part in enumerate((predictions[:half], predictions[half:])):
        table = pa.table(
            {
                "slate_id": [one.slate_id for one in part],
                "request_ts": timestamps(np.array([one.request_ts for one in part])),
                "model_version": [one.model_version for one in part],
                "event": [orjson.dumps(asdict(one)).decode() for one in part],
            }
        )
        pq.write_table(table, directory / f"part-{number}.parquet")
    (directory / "part-2.parquet.partial").write_bytes(b"half a file")
