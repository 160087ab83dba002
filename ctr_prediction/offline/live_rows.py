"""Impressions and clicks of the live log for the step `sample`, read once: a build reads the new files alone.

The step keeps all impressions and clicks of its cut, and the joined rows in `joined.npz`. The next build adds the new
files and joins the rows that are missing. A late click changes the label of an old row without another join. A new
event changes the features of rows after the next snapshot, and these rows are joined again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Array, Ints
from ctr_prediction.events.history import with_clicks
from ctr_prediction.events.paths import CLICKS, SHOWN
from infra.build.runner import StepContext
from infra.columns import DAY_S, HOUR_S, seconds
from infra.live.earlier_rows import LogFiles, first_snapshot_after, log_files, place_of, write_files
from infra.live.kept_log import log_errors
from infra.simulation.streams import start_ts

ROWS, CLICK_ROWS, JOINED, JOINED_IDS = "shown.parquet", "clicks.parquet", "joined.npz", "joined_ids.npy"
OF_CLICKS = ("impression_id", "label_ts")


@dataclass(frozen=True)
class LiveRows:
    """`shown` are the impressions of the cut, each once as received first, ordered by request and id; `clicks` has the
    first report of each click. Joined rows of the earlier output are valid before `valid_before`."""

    files: LogFiles
    shown: pa.Table
    clicks: pa.Table
    valid_before: float

    @classmethod
    def read(cls, context: StepContext, columns: Sequence[str]) -> LiveRows:
        """The rows of this build's cut. Raises `LabError` for a damaged file."""
        config: CtrConfig = context.config
        files, names = log_files(context), [*columns, "seen_ts"]
        with log_errors():
            new_shown, new_clicks = _new(files, SHOWN, names), _new(files, CLICKS, OF_CLICKS)
        changes = [seconds(new_shown["seen_ts"].to_numpy()), seconds(new_clicks["label_ts"].to_numpy())]
        every_s = (DAY_S, config.features.ad_snapshot_h * HOUR_S)
        return cls(
            files,
            _first(_with_earlier(files, ROWS, new_shown), "seen_ts", ["request_ts", "impression_id"]),
            _first(_with_earlier(files, CLICK_ROWS, new_clicks), "label_ts", ["impression_id"]),
            first_snapshot_after(np.concatenate(changes).tolist(), start_ts(config.world), every_s),
        )

    def table(self) -> pa.Table | None:
        """The impressions with `clicked` and `label_ts`; None if there are none."""
        return with_clicks(self.shown, self.clicks) if len(self.shown) else None

    def earlier(self, ids: Ints, at_s: Array) -> Ints:
        """int64[n]: the place of impressions with these ids and requests among the joined rows of the earlier output,
        -1 without a valid one."""
        if self.files.earlier is None:
            return np.full(len(ids), -1, np.int64)
        joined = np.load(self.files.earlier / JOINED_IDS, allow_pickle=False)
        return np.where(at_s < self.valid_before, place_of(ids, joined), -1)

    def keep(self, context: StepContext, joined_ids: Ints) -> Path:
        """Write the rows for the next build, and the ids of the joined ones. Returns the folder."""
        folder = write_files(self.files, context)
        pq.write_table(self.shown, folder / ROWS)
        pq.write_table(self.clicks, folder / CLICK_ROWS)
        np.save(folder / JOINED_IDS, joined_ids)
        return folder

    def facts(self) -> dict[str, int]:
        """Numbers of files of the log that this build reads, and that an earlier one has read."""
        new = len(self.files.new(SHOWN)) + len(self.files.new(CLICKS))
        return {"live_files_read": new, "live_files_kept": len(self.files.read)}


def _new(files: LogFiles, folder: str, columns: Sequence[str]) -> pa.Table:
    table = files.new_rows(folder)
    if table is None:
        return pa.table(
            {name: pa.array([], pa.timestamp("us") if name.endswith("_ts") else pa.int64()) for name in columns}
        )
    table = table.select(list(columns)).replace_schema_metadata()
    if "policy" in columns:
        table = table.set_column(columns.index("policy"), "policy", table["policy"].cast(pa.string()))
    return table


def _with_earlier(files: LogFiles, name: str, new: pa.Table) -> pa.Table:
    before = None if files.earlier is None else pq.read_table(files.earlier / name)
    if before is None or not len(before):
        return new
    return pa.concat_tables([before, new.cast(before.schema)]) if len(new) else before


def _first(table: pa.Table, received: str, order: Sequence[str]) -> pa.Table:
    """The row of each impression that was received first, in this order."""
    by_time = np.argsort(seconds(table[received].to_numpy()), kind="stable")
    _, first = np.unique(table["impression_id"].to_numpy()[by_time], return_index=True)
    return table.take(pa.array(by_time[first])).sort_by([(name, "ascending") for name in order]).combine_chunks()
