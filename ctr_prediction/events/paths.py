"""Paths of the live log, and the time of its last event. The worker writes the log."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.stream.sink import files_of

LIVE = "live"
SHOWN, CLICKS, PREDICTIONS = "shown", "clicks", "predictions"
TIMES = {SHOWN: "seen_ts", CLICKS: "label_ts", PREDICTIONS: "request_ts"}
"""Kind of event -> its time column. A restarted world clock continues after the last logged time."""


def end_of_log(live: Path) -> float:
    """Time of the last logged event, in seconds since the epoch; 0 if the log is empty."""
    ends = [0.0]
    for folder, column in TIMES.items():
        for file in files_of(live / folder)[-1:]:
            newest = pc.max(pq.read_table(file, columns=[column], partitioning=None)[column]).as_py()
            ends.append(newest.timestamp() if hasattr(newest, "timestamp") else float(newest))
    return max(ends)
