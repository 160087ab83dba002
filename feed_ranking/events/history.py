"""Step `live`: keep what happened live until this build began, and read it as the generated history is read.

The worker's files are linked, not copied, where the disk allows it. Events come from apps: one that was delivered
twice counts once, and one that cannot be true is left out. A file that is gone or damaged ends the build.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from feed_ranking.config import FeedConfig
from feed_ranking.events.cuts import LOG, POSTS, files_of, live_root
from feed_ranking.features.aggregates import DAY_S, PublicCatalogue, seconds
from infra.build.runner import Facts, StepContext
from infra.errors import LabError

CUT_FILE = "live.json"


def cut_log(context: StepContext) -> Facts:
    """Write `log/`, `posts/` and `live.json`: how many events and posts, and `until`, the world's now for this build.

    Raises `LabError` when a file of the cut is gone or cannot be read.
    """
    config: FeedConfig = context.config
    files = files_of(context.cut)
    for index, file in enumerate(files):
        _link(live_root(context.settings) / file, context.out / file)
        context.report((index + 1) / len(files), f"{index + 1:,} of {len(files):,} files")
    try:
        events, posts = read_reactions(context.out, ["label_ts"]), read_posts(context.out)
    except (pa.ArrowException, OSError) as exc:
        raise LabError(f"the live log cannot be read: {exc}", hint="move that file away and build again") from exc
    until = pd.Timestamp(config.world.start).timestamp() + config.world.days * DAY_S
    if events is not None:
        until = max(until, _after(seconds(events["label_ts"].to_numpy())))
    if posts is not None:
        until = max(until, _after(posts["published_ts"].to_numpy()))
    facts = {"events": 0 if events is None else len(events), "posts": 0 if posts is None else len(posts)}
    (context.out / CUT_FILE).write_text(json.dumps({**facts, "until": until}, indent=2))
    return facts


def _after(times: npt.NDArray[np.float64]) -> float:
    """The first whole second when all of this is known: what is of t is not known at t."""
    return float(np.floor(times.max())) + 1


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise LabError(f"{source} was there when the build began and is gone", hint="build again") from None
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def read_until(live: Path) -> float:
    """Up to when this build knows the world, in seconds since the epoch: the end of the history, or later."""
    return float(json.loads((live / CUT_FILE).read_text())["until"])


def read_reactions(live: Path, columns: Sequence[str]) -> pa.Table | None:
    """The organic impressions that were seen live, each once; None if there is none."""
    table = _read(live / LOG)
    if table is None:
        return None
    is_sound = pc.and_(pc.greater_equal(table["post_id"], 0), pc.is_finite(table["dwell_s"]))
    for low, name in ((0, "position"), (0, "creator_before"), (0.0, "dwell_s"), (table["position"], "depth")):
        is_sound = pc.and_(is_sound, pc.greater_equal(table[name], low))
    is_sound = pc.and_(is_sound, pc.less_equal(table["request_ts"], table["label_ts"]))
    first = np.zeros(len(table), bool)
    first[np.unique(table["event_id"].to_numpy(), return_index=True)[1]] = True
    kept = table.filter(pc.and_(is_sound, pa.array(first))).select(list(columns))
    return kept if len(kept) else None


def read_posts(live: Path) -> pd.DataFrame | None:
    """The posts that were published live, each once; None if there is none."""
    table = _read(live / POSTS)
    return None if table is None or not len(table) else table.to_pandas().drop_duplicates("post_id", ignore_index=True)


def _read(directory: Path) -> pa.Table | None:
    files = sorted(map(str, directory.rglob("*.parquet")))
    return ds.dataset(files, format="parquet").to_table().combine_chunks() if files else None


def read_catalogue(world: Path, live: Path) -> PublicCatalogue:
    """What is public of the world, with the live posts among its own, in order of publication."""
    catalogue, posts = PublicCatalogue.read(world), read_posts(live)
    if posts is None:
        return catalogue
    together = catalogue.with_posts(posts).posts.sort_values("published_ts", kind="stable", ignore_index=True)
    return PublicCatalogue(catalogue.people, catalogue.creators, together, catalogue.follows)
