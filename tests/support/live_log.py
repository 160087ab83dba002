"""Writes the worker's log of a live session: reactions and posts, in the columns of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.columns import timestamps

SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("event_id", "session_id", "slate_id", "user_id", "post_id", "creator_id")),
        *((name, pa.int64()) for name in ("ad_id", "position", "depth", "creator_before")),
        ("policy", pa.dictionary(pa.int32(), pa.string())),
        ("propensity", pa.float32()),
        *((name, pa.timestamp("us", "UTC")) for name in ("request_ts", "event_ts", "label_ts")),
        *((name, pa.bool_()) for name in ("clicked", "liked", "commented")),
        ("dwell_s", pa.float32()),
        ("left", pa.bool_()),
    ]
)
POST = {"creator_id": 1, "topic": 1, "media": 0, "quality_signal": 0.5, "bait_signal": 0.0}


def reaction(**given: Any) -> dict[str, Any]:
    """Return a click on the top post of a slate. `request_ts` is in seconds; the label arrives a minute later."""
    slate, position = given.get("slate_id", 10**12), given.get("position", 0)
    row = {
        "event_id": slate * 1000 + position,
        "session_id": slate,
        "slate_id": slate,
        "creator_id": 1,
        "ad_id": -1,
        "position": position,
        "depth": position,
        "creator_before": 0,
        "policy": "ranked_v1",
        "propensity": 1.0,
        "clicked": True,
        "liked": False,
        "commented": False,
        "dwell_s": 10.0,
        "left": False,
        "event_ts": given["request_ts"] + 2,
        "label_ts": given["request_ts"] + 60,
    }
    return row | given


def table(reactions: Sequence[Mapping[str, Any]]) -> pa.Table:
    def column(name: str, kind: pa.DataType) -> pa.Array:
        values = [row[name] for row in reactions]
        if name.endswith("_ts"):
            return timestamps(np.array(values, np.float64))
        return pa.array(values).dictionary_encode() if name == "policy" else pa.array(values, kind)

    return pa.table([column(field.name, field.type) for field in SCHEMA], schema=SCHEMA)


def write_reactions(root: Path, name: str, reactions: Sequence[Mapping[str, Any]]) -> None:
    _write(root / "log", name, reactions[0]["label_ts"], table(reactions))


def write_posts(root: Path, name: str, posts: Sequence[Mapping[str, Any]]) -> None:
    """Write posts. Each has `post_id`, `published_ts` and the fields that differ from `POST`."""
    rows = [POST | dict(post) for post in posts]
    names = ("post_id", "creator_id", "topic", "media", "quality_signal", "bait_signal", "published_ts")
    kinds = {"quality_signal": pa.float32(), "bait_signal": pa.float32(), "published_ts": pa.float64()}
    columns = {name: pa.array([row[name] for row in rows], kinds.get(name, pa.int64())) for name in names}
    _write(root / "posts", name, rows[0]["published_ts"], pa.table(columns))


def _write(root: Path, name: str, at_s: float, rows: pa.Table) -> None:
    at = datetime.fromtimestamp(at_s, UTC)
    directory = root / f"date={at.date()}" / f"hour={at.hour:02}"
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, directory / f"part-{name}.parquet")
