"""Step `live`: copies the live events up to the start of this build. Readers of the generated and the live history.

Apps send the events. A duplicate event counts once, and an implausible event is dropped. A missing or damaged file
fails the build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.domain import REACTIONS, Floats, Ids
from feed_ranking.events.paths import LIVE_LOG, LOG, POSTS
from infra.build.runner import Facts, StepContext
from infra.columns import rows_of, seconds
from infra.live.kept_log import keep_cut, log_errors, read_folder, write_cut
from infra.simulation.streams import end_ts

LABELS = ("clicked", "liked", "commented", "dwell_s")
LOG_COLUMNS = ("label_ts", "user_id", "post_id", "session_id", *LABELS)
"""The columns of the log that features need; a table may have more."""


@dataclass(frozen=True)
class PublicCatalogue:
    """Public facts about users, creators, posts and follows, as the step `world` writes them.

    Ids of users and creators are row numbers. Post ids are any int64, in any order.
    """

    people: pd.DataFrame
    creators: pd.DataFrame
    posts: pd.DataFrame
    follows: pd.DataFrame

    @classmethod
    def read(cls, world: Path) -> PublicCatalogue:
        return cls(*(pq.read_table(world / f"{name}.parquet").to_pandas() for name in cls.__annotations__))

    def with_posts(self, posts: pd.DataFrame) -> PublicCatalogue:
        """A catalogue with the new posts in `posts` appended. Existing posts keep their rows."""
        new = posts.drop_duplicates("post_id")
        new = new[self.rows_of(new["post_id"].to_numpy()) < 0]
        together = pd.concat([self.posts, new[self.posts.columns]], ignore_index=True) if len(new) else self.posts
        return PublicCatalogue(self.people, self.creators, together, self.follows)

    def rows_of(self, post_ids: Ids) -> Ids:
        """int64[n]: the row of each id in `posts`, -1 for an id without a post."""
        order, ascending = self._by_id
        if not len(order):
            return np.full(len(post_ids), -1, np.int64)
        place = np.minimum(np.searchsorted(ascending, post_ids), len(order) - 1)
        return np.where(ascending[place] == post_ids, order[place], -1)

    @cached_property
    def _by_id(self) -> tuple[Ids, Ids]:
        ids = self.posts["post_id"].to_numpy(np.int64)
        order = np.argsort(ids, kind="stable")
        return order, ids[order]


@dataclass(frozen=True)
class EventLog:
    """The organic impressions, ordered by `known_s` float64[n], the arrival time of the label. All arrays [n].

    `post` is a row of the catalogue's posts, not an id, and `user` a row of its people.
    """

    known_s: npt.NDArray[np.float64]
    user: npt.NDArray[np.int32]
    post: npt.NDArray[np.int32]
    session: Ids
    counts: Floats
    """float32[n, REACTIONS]"""
    catalogue: PublicCatalogue
    unknown: int = 0
    """number of dropped events: their post or user is not in the catalogue"""

    @classmethod
    def of(cls, table: pa.Table, catalogue: PublicCatalogue) -> EventLog:
        """The log of `table`, which has `LOG_COLUMNS` and its rows in any order. Ads are dropped."""
        column = {name: table[name].to_numpy() for name in LOG_COLUMNS}
        is_post = column["post_id"] >= 0
        post, user = catalogue.rows_of(column["post_id"]), column["user_id"]
        is_known = (post >= 0) & (user >= 0) & (user < len(catalogue.people))
        known_s = seconds(column["label_ts"])
        kept = np.flatnonzero(is_post & is_known)
        kept = kept[np.argsort(known_s[kept], kind="stable")]
        counts = np.ones((len(kept), len(REACTIONS)), np.float32)
        for kind, name in enumerate(LABELS, start=1):
            counts[:, kind] = column[name][kept]
        return cls(
            known_s=known_s[kept],
            user=user[kept].astype(np.int32),
            post=post[kept].astype(np.int32),
            session=column["session_id"][kept],
            counts=counts,
            catalogue=catalogue,
            unknown=int(np.count_nonzero(is_post & ~is_known)),
        )

    def extended(self, table: pa.Table, catalogue: PublicCatalogue) -> EventLog:
        """This log merged with the events of `table`, in order. `catalogue` may have more posts than before."""
        new = EventLog.of(table, catalogue)
        columns = {name: np.concatenate([values, getattr(new, name)]) for name, values in self.columns().items()}
        if len(self) and len(new) and new.known_s[0] < self.known_s[-1]:
            order = np.argsort(columns["known_s"], kind="stable")
            columns = {name: values[order] for name, values in columns.items()}
        return EventLog(**columns, catalogue=catalogue, unknown=self.unknown + new.unknown)

    def __len__(self) -> int:
        return len(self.known_s)

    def creator(self, events: slice) -> Ids:
        """The ids of the creators of the posts; they may be missing from the catalogue."""
        return self.catalogue.posts["creator_id"].to_numpy(np.int64)[self.post[events]]

    def topic(self, events: slice) -> Ids:
        return self.catalogue.posts["topic"].to_numpy(np.int64)[self.post[events]]

    def region(self, events: slice) -> Ids:
        """The regions of the users."""
        return self.catalogue.people["region"].to_numpy(np.int64)[self.user[events]]

    def before(self, t: float, window_s: float = np.inf) -> slice:
        """The events with t - window_s <= `known_s` < t."""
        return self.between(t - window_s, t)

    def between(self, from_s: float, to_s: float) -> slice:
        """The events with from_s <= `known_s` < to_s."""
        return slice(*(int(np.searchsorted(self.known_s, at)) for at in (from_s, to_s)))

    def of_users(self, users: Ids, window: slice) -> EventLog:
        """The events of `users` in `window`."""
        kept = window.start + rows_of(self.user[window], users)
        return EventLog(**{name: values[kept] for name, values in self.columns().items()}, catalogue=self.catalogue)

    def columns(self) -> dict[str, Any]:
        """The arrays [n] by name."""
        return {name: getattr(self, name) for name in ("known_s", "user", "post", "session", "counts")}


def cut_log(context: StepContext) -> Facts:
    """Write `log/`, `posts/` and `live.json` (`infra.live.kept_log`). Returns the numbers of events and posts.

    Raises `LabError` if a file of the cut is missing or unreadable.
    """
    config: FeedConfig = context.config
    keep_cut(LIVE_LOG, context)
    with log_errors():
        events, posts = read_reactions(context.out, ["label_ts"]), read_posts(context.out)
    facts = {"events": 0 if events is None else len(events), "posts": 0 if posts is None else len(posts)}
    times = [] if events is None else [seconds(events["label_ts"].to_numpy())]
    times += [] if posts is None else [posts["published_ts"].to_numpy()]
    write_cut(context.out, facts, end_ts(config.world), *times)
    return facts


def read_log(world: Path, live: Path, columns: Sequence[str] = LOG_COLUMNS) -> pa.Table:
    """All organic impressions of the generated history and of the live log."""
    log = ds.dataset(world / "log", partitioning="hive")
    table = log.to_table(columns=list(columns), filter=pc.field("post_id") >= 0)
    since = read_reactions(live, columns)
    return (table if since is None else pa.concat_tables([table, since.cast(table.schema)])).combine_chunks()


def read_reactions(live: Path, columns: Sequence[str]) -> pa.Table | None:
    """The organic impressions of the live log without duplicates; None if there is none."""
    table = read_folder(live / LOG)
    return None if table is None else sound_reactions(table, columns)


def sound_reactions(table: pa.Table, columns: Sequence[str]) -> pa.Table | None:
    """The organic impressions of `table`, rows of the live log, each once: as it was received first. None if there is
    none."""
    is_sound = pc.and_(pc.greater_equal(table["post_id"], 0), pc.is_finite(table["dwell_s"]))
    for low, name in ((0, "position"), (0, "creator_before"), (0.0, "dwell_s"), (table["position"], "depth")):
        is_sound = pc.and_(is_sound, pc.greater_equal(table[name], low))
    is_sound = pc.and_(is_sound, pc.less_equal(table["request_ts"], table["label_ts"]))
    kept = table.filter(is_sound)
    received = np.argsort(kept["label_ts"].to_numpy(), kind="stable")
    _, first = np.unique(kept["event_id"].to_numpy()[received], return_index=True)
    kept = kept.select(list(columns)).take(pa.array(np.sort(received[first])))
    return kept if len(kept) else None


def read_posts(live: Path) -> pd.DataFrame | None:
    """The posts of the live log without duplicates; None if there is none."""
    table = read_folder(live / POSTS)
    return None if table is None or not len(table) else table.to_pandas().drop_duplicates("post_id", ignore_index=True)


def read_catalogue(world: Path, live: Path) -> PublicCatalogue:
    """The public catalogue with the live posts merged in, ordered by publication."""
    catalogue, posts = PublicCatalogue.read(world), read_posts(live)
    if posts is None:
        return catalogue
    together = catalogue.with_posts(posts).posts.sort_values("published_ts", kind="stable", ignore_index=True)
    return PublicCatalogue(catalogue.people, catalogue.creators, together, catalogue.follows)
