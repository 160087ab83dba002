"""Events as rows of the live log. The schema equals that of the generated history, so training reads both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import orjson
import pyarrow as pa

from feed_ranking.events.schemas import PostPublished, Prediction, Reaction
from infra.columns import timestamps

REACTION_INTS = ("session_id", "slate_id", "user_id", "post_id", "creator_id", "ad_id", "position", "depth")
REACTION_FLAGS = ("clicked", "liked", "commented")


def reaction_rows(events: Sequence[Reaction]) -> pa.Table:
    """One row per shown item, with its labels."""

    def ints(name: str) -> pa.Array:
        return pa.array([getattr(event, name) for event in events], pa.int64())

    def times(name: str) -> pa.Array:
        return timestamps(np.array([getattr(event, name) for event in events]))

    return pa.table(
        {
            "event_id": pa.array([event.number for event in events], pa.int64()),
            **{name: ints(name) for name in REACTION_INTS},
            "creator_before": ints("creator_before"),
            "policy": pa.array([event.policy for event in events]).dictionary_encode(),
            "propensity": pa.array([event.propensity for event in events], pa.float32()),
            "request_ts": times("request_ts"),
            "event_ts": times("seen_ts"),
            "label_ts": times("label_ts"),
            **{name: pa.array([getattr(event, name) for event in events], pa.bool_()) for name in REACTION_FLAGS},
            "dwell_s": pa.array([event.dwell_s for event in events], pa.float32()),
            "left": pa.array([event.left for event in events], pa.bool_()),
        }
    )


def post_rows(events: Sequence[PostPublished]) -> pa.Table:
    """One row per post, with the columns of the catalogue's posts."""
    columns = {item.name: [getattr(event, item.name) for event in events] for item in fields(PostPublished)}
    kinds = {"quality_signal": pa.float32(), "bait_signal": pa.float32(), "published_ts": pa.float64()}
    return pa.table({name: pa.array(values, kinds.get(name, pa.int64())) for name, values in columns.items()})


def prediction_rows(events: Sequence[Prediction]) -> pa.Table:
    """One row per prediction: columns for queries, and the whole event as JSON text."""
    return pa.table(
        {
            "slate_id": pa.array([event.slate_id for event in events], pa.int64()),
            "request_ts": timestamps(np.array([event.request_ts for event in events])),
            "model_version": pa.array([event.model_version for event in events], pa.string()),
            "is_shadow": pa.array([event.shadow_of >= 0 for event in events], pa.bool_()),
            "event": pa.array([orjson.dumps(event).decode() for event in events], pa.string()),
        }
    )
