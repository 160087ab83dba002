"""Impressions of the live log for the step `sample`, read once: a build reads the files that no earlier one has read.

The step keeps all impressions of its cut in `rows.parquet`, and the joined ones in `joined.npz`. The next build adds
the new files to the former and joins the rows that the latter lacks. A new event changes the features of rows after the
next snapshot, and these rows are joined again. Posts are read in full, because they are the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.domain import Ids, Times
from feed_ranking.events.history import PublicCatalogue, read_catalogue, sound_reactions
from feed_ranking.events.paths import LOG, POSTS
from infra.build.runner import StepContext
from infra.columns import DAY_S, HOUR_S, seconds
from infra.live.earlier_rows import (
    Array,
    LogFiles,
    first_snapshot_after,
    log_files,
    place_of,
    uniform_of,
    write_files,
)
from infra.live.kept_log import log_errors
from infra.simulation.streams import start_ts

ROWS, JOINED, JOINED_IDS = "rows.parquet", "joined.npz", "joined_ids.npy"


@dataclass(frozen=True)
class LiveRows:
    """n live impressions of known users and published posts, ordered by day (UTC), slate and position.

    `log` has the columns of the history and `event_id`. `drawn` float64[n] in [0, 1) decides whether a row is sampled.
    Joined rows of the earlier output are valid before `valid_before`. `everything` also has the rows that are not in
    `log`, since their post may arrive later.
    """

    log: pd.DataFrame
    request_ts: Times
    drawn: Array
    files: LogFiles
    valid_before: float
    everything: pa.Table

    @classmethod
    def read(cls, context: StepContext, columns: Sequence[str]) -> LiveRows:
        """The rows of this build's cut. Raises `LabError` for a damaged file."""
        config: FeedConfig = context.config
        files = log_files(context)
        with log_errors():
            everything, new = _everything(files, [*columns, "event_id", "label_ts"])
            catalogue = read_catalogue(context.inputs["world"], context.inputs["live"])
            posts = files.new_rows(POSTS)
        changes = seconds(new["label_ts"].to_numpy()).tolist()
        if posts is not None and len(posts):
            changes += posts["published_ts"].to_pylist()
            of_new = pc.is_in(everything["post_id"], value_set=posts["post_id"].combine_chunks())
            changes += seconds(everything.filter(of_new)["label_ts"].to_numpy()).tolist()
        every_s = (DAY_S, config.features.post_snapshot_h * HOUR_S, config.features.live_snapshot_s)
        log = _known(everything.select([*columns, "event_id"]), catalogue)
        return cls(
            log,
            seconds(log["request_ts"].to_numpy()),
            uniform_of(log["event_id"].to_numpy(np.int64), config.world.seed),
            files,
            first_snapshot_after(changes, start_ts(config.world), every_s),
            everything,
        )

    def __len__(self) -> int:
        return len(self.log)

    def days(self, rows: Ids) -> list[Ids]:
        """The places in `rows` by day (UTC): int64[k] for each day, in order."""
        day = (self.request_ts[rows] // DAY_S).astype(np.int64)
        return np.split(np.arange(len(rows)), np.flatnonzero(np.diff(day)) + 1) if len(rows) else []

    def facts(self) -> dict[str, int]:
        """Numbers of files of the log that this build reads, and that an earlier one has read."""
        read = sum(name.startswith(f"{LOG}/") for name in self.files.read)
        return {"live_files_read": len(self.files.new(LOG)), "live_files_kept": read}

    def earlier(self, rows: Ids) -> Ids:
        """int64[k]: the place of each of `rows` among the joined rows of the earlier output, -1 without a valid one."""
        if self.files.earlier is None:
            return np.full(len(rows), -1, np.int64)
        joined = np.load(self.files.earlier / JOINED_IDS, allow_pickle=False)
        place = place_of(self.log["event_id"].to_numpy(np.int64)[rows], joined)
        return np.where(self.request_ts[rows] < self.valid_before, place, -1)

    def keep(self, context: StepContext, joined: Ids) -> Path:
        """Write the rows for the next build, and the ids of the `joined` ones. Returns the folder."""
        folder = write_files(self.files, context)
        pq.write_table(self.everything.sort_by("event_id").combine_chunks().replace_schema_metadata(), folder / ROWS)
        np.save(folder / JOINED_IDS, self.log["event_id"].to_numpy(np.int64)[joined])
        return folder


def _everything(files: LogFiles, columns: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """(all impressions of the cut, each once as received first; those of new files), with these columns."""
    names = [*dict.fromkeys([*columns, "depth", "dwell_s"])]
    none = pa.table({name: pa.array([], pa.int64()) for name in names})
    table = files.new_rows(LOG)
    new = None if table is None else sound_reactions(table, names)
    new = none if new is None else new.set_column(names.index("policy"), "policy", new["policy"].cast(pa.string()))
    if files.earlier is None:
        return new, new
    before = pq.read_table(files.earlier / ROWS)
    if not len(new):
        return before, new
    both = sound_reactions(pa.concat_tables([before, new.cast(before.schema)] if len(before) else [new]), names)
    assert both is not None
    return both, new


def _known(table: pa.Table, catalogue: PublicCatalogue) -> pd.DataFrame:
    """The rows of known users and of posts that were published before the request. Features are joined as of
    `request_ts`, which the app sends back."""
    log: pd.DataFrame = table.to_pandas()
    if not len(log):
        return log
    log["request_ts"] = log["request_ts"].dt.tz_localize(None)  # UTC; numpy has no time zones
    row = catalogue.rows_of(log["post_id"].to_numpy())
    log["creator_id"] = catalogue.posts["creator_id"].to_numpy()[row]
    is_out = seconds(log["request_ts"].to_numpy()) >= catalogue.posts["published_ts"].to_numpy()[row]
    is_known = (row >= 0) & (log["user_id"] >= 0) & (log["user_id"] < len(catalogue.people))
    log = log[is_known & is_out]
    day = log["request_ts"].dt.floor("D")
    return log.assign(day=day).sort_values(["day", "slate_id", "position"], ignore_index=True).drop(columns="day")
