"""Events as rows of the live log. The schema equals that of the generated history, so training reads both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa

from ctr_prediction.events.schemas import Auction, Click, Impression
from infra.columns import timestamps

SHOWN_INTS = ("user_id", "publisher_id", "device", "slot", "ad_id", "campaign_id", "seen")
SHOWN_FLOATS = ("bid", "price", "p_click", "propensity")


def shown_rows(events: Sequence[Impression]) -> pa.Table:
    """One row per shown ad. Training joins its features as of `request_ts`. The impression counts in features from
    `seen_ts` on, the time at which the service received it."""
    return pa.table(
        {
            "impression_id": pa.array([event.number for event in events], pa.int64()),
            "request_ts": timestamps(np.array([event.request_ts for event in events])),
            "seen_ts": timestamps(np.array([event.seen_ts for event in events])),
            **{name: pa.array([getattr(event, name) for event in events], pa.int64()) for name in SHOWN_INTS},
            **{name: pa.array([getattr(event, name) for event in events], pa.float32()) for name in SHOWN_FLOATS},
            "policy": pa.array([event.policy for event in events], pa.string()).dictionary_encode(),
        }
    )


def click_rows(events: Sequence[Click]) -> pa.Table:
    """One row per click, with the time from which it counts in features."""
    return pa.table(
        {
            "impression_id": pa.array([event.number for event in events], pa.int64()),
            "user_id": pa.array([event.user_id for event in events], pa.int64()),
            "ad_id": pa.array([event.ad_id for event in events], pa.int64()),
            "label_ts": timestamps(np.array([event.label_ts for event in events])),
        }
    )


def auction_rows(events: Sequence[Auction]) -> pa.Table:
    """One row per auction: columns for queries, and the whole event as JSON text."""
    return pa.table(
        {
            "auction_id": pa.array([event.auction_id for event in events], pa.int64()),
            "request_ts": timestamps(np.array([event.request_ts for event in events])),
            "model_version": pa.array([event.model_version for event in events], pa.string()),
            "is_shadow": pa.array([event.shadow_of >= 0 for event in events], pa.bool_()),
            "event": pa.array([orjson.dumps(event).decode() for event in events], pa.string()),
        }
    )
