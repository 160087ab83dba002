"""Step `live`: keep what happened live until this build began, and read it as the generated history is read.

The worker's files are linked, not copied, where the disk allows it. Events come from apps: one that was delivered twice
counts once. A click belongs to an impression by its number. Either counts from when one heard of it (`counting`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from ctr_prediction.config import CtrConfig
from ctr_prediction.events.cuts import files_of, live_root
from ctr_prediction.events.paths import CLICKS, SHOWN
from ctr_prediction.features.aggregates import DAY_S, LOG_COLUMNS, EventLog, PublicCatalogue, seconds, timestamps
from infra.build.runner import Facts, StepContext
from infra.errors import LabError

CUT_FILE = "live.json"
USERS_AT_ONCE = 50_000


def cut_log(context: StepContext) -> Facts:
    """Write `shown/`, `clicks/` and `live.json`: how many of each, and `until`, the world's now for this build.

    Raises `LabError` when a file of the cut is gone or cannot be read.
    """
    config: CtrConfig = context.config
    files = files_of(context.cut)
    for index, file in enumerate(files):
        _link(live_root(context.settings) / file, context.out / file)
        context.report((index + 1) / len(files), f"{index + 1:,} of {len(files):,} files")
    try:
        shown = read_live(context.out)
    except (pa.ArrowException, OSError) as exc:
        raise LabError(f"the live log cannot be read: {exc}", hint="move that file away and build again") from exc
    until = pd.Timestamp(config.world.start).timestamp() + config.world.days * DAY_S
    clicks = 0
    if shown is not None:
        label_s = seconds(shown["label_ts"].to_numpy())
        clicks = int(np.isfinite(label_s).sum())
        newest = max(seconds(shown["seen_ts"].to_numpy()).max(), np.nanmax(np.append(label_s, 0.0)))
        until = max(until, float(np.floor(newest)) + 1)  # what is of t is not known at t
    facts = {"impressions": 0 if shown is None else len(shown), "clicks": clicks}
    (context.out / CUT_FILE).write_text(json.dumps({**facts, "until": until}, indent=2))
    return facts


def read_until(live: Path) -> float:
    """Up to when this build knows the world, in seconds since the epoch: the end of the history, or later."""
    return float(json.loads((live / CUT_FILE).read_text())["until"])


def read_live(live: Path) -> pa.Table | None:
    """The impressions that were shown live, each once, with `clicked` and `label_ts` of the click that was reported
    first; None if there is none."""
    shown = read_shown(live)
    return None if shown is None else with_clicks(shown, read_clicks(live))


def read_shown(live: Path) -> pa.Table | None:
    """The impressions that were shown live, each once; None if there is none."""
    shown = _read(live / SHOWN)
    if shown is None or not len(shown):
        return None
    _, first = np.unique(shown["impression_id"].to_numpy(), return_index=True)
    return shown.take(pa.array(np.sort(first)))


def read_clicks(live: Path) -> pa.Table | None:
    """The clicks that were reported live, also those of impressions that one has not heard of; None if there is
    none."""
    clicks = _read(live / CLICKS)
    return clicks if clicks is not None and len(clicks) else None


def with_clicks(shown: pa.Table, clicks: pa.Table | None) -> pa.Table:
    """`shown` with `clicked` and `label_ts`, by `impression_id`."""
    label_s = np.full(len(shown), np.nan)
    if clicks is not None and len(clicks):
        of, when = clicks["impression_id"].to_numpy(), seconds(clicks["label_ts"].to_numpy())
        order = np.lexsort((when, of))
        ids, at = np.unique(of[order], return_index=True)
        place = np.minimum(np.searchsorted(ids, shown["impression_id"].to_numpy()), len(ids) - 1)
        is_mine = ids[place] == shown["impression_id"].to_numpy()
        label_s[is_mine] = when[order][at][place[is_mine]]
    shown = shown.append_column("clicked", pa.array(np.isfinite(label_s)))
    return shown.append_column("label_ts", timestamps(label_s))


def event_log(world: Path, live: Path | None, catalogue: PublicCatalogue, users: range | None = None) -> EventLog:
    """All that is known of who was shown what and who clicked (or of these `users`): on every day of the history, and
    `live` since. One heard of the history's impressions at once."""
    user = ds.field("user_id")
    mine = None if users is None else (user >= users.start) & (user < users.stop)
    columns = {name: ds.field("request_ts" if name == "seen_ts" else name) for name in LOG_COLUMNS}
    table = ds.dataset(world / "log", partitioning="hive").to_table(columns=columns, filter=mine)
    since = None if live is None else read_live(live)
    if since is not None:
        since = since if mine is None else since.filter(mine)
        table = pa.concat_tables([table, since.select(list(LOG_COLUMNS)).cast(table.schema)])
    return EventLog.of(table.combine_chunks(), catalogue)


def logs_by_users(world: Path, live: Path | None, catalogue: PublicCatalogue) -> Iterator[tuple[range, EventLog]]:
    """The same, of so many users at a time as fit into memory however long the log is. What is counted of ads in one
    and in another adds up."""
    everyone = len(catalogue.people)
    for first in range(0, max(everyone, 1), USERS_AT_ONCE):
        users = range(first, min(first + USERS_AT_ONCE, everyone))
        yield users, event_log(world, live, catalogue, None if len(users) == everyone else users)


def _read(directory: Path) -> pa.Table | None:
    files = sorted(map(str, directory.rglob("*.parquet")))
    return ds.dataset(files, format="parquet").to_table().combine_chunks() if files else None


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise LabError(f"{source} was there when the build began and is gone", hint="build again") from None
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
