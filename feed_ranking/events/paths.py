"""Where what happens live is kept, and up to when it reaches. Written by the worker, read by everyone."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.stream.sink import files_of

LIVE = "live"
LOG, POSTS, PREDICTIONS = "log", "posts", "predictions"
TIMES = {LOG: "label_ts", POSTS: "published_ts", PREDICTIONS: "request_ts"}
"""What may not happen again: a world that was stopped goes on behind all that is logged. Were a minute lived twice, a
prediction of its first time would be checked against what people did in its second."""


def end_of_log(live: Path) -> float:
    """The last time (seconds since the epoch) that anything happened at; 0 where nothing did."""
    ends = [0.0]
    for folder, column in TIMES.items():
        for file in files_of(live / folder)[-1:]:
            newest = pc.max(pq.read_table(file, columns=[column], partitioning=None)[column]).as_py()
            ends.append(newest.timestamp() if hasattr(newest, "timestamp") else float(newest))
    return max(ends)
