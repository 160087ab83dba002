"""Step `live`: copies the live events up to the start of this build. Readers of the generated and the live history.

Apps send the events. A duplicate event counts once. The impression id joins a click to its impression. Impressions and
clicks count from the time when the service received them (`features.aggregates`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS, Array, Floats, Ints
from ctr_prediction.events.paths import CLICKS, LIVE_LOG, SHOWN
from infra.build.runner import Facts, StepContext
from infra.columns import rows_of, seconds, timestamps
from infra.live.kept_log import keep_cut, log_errors, read_folder, write_cut
from infra.simulation.streams import end_ts

LOG_COLUMNS = ("impression_id", "seen_ts", "user_id", "ad_id", "slot", "price", "clicked", "label_ts")
"""The columns of the log that features need; a table may have more."""
COLUMNS = ("at_s", "number", "user", "ad", "slot", "price")
"""The arrays [n] of `EventLog`."""
USERS_AT_ONCE = 50_000


@dataclass(frozen=True)
class PublicCatalogue:
    """Public facts about users, ads, campaigns and publishers, as the step `world` writes them; ids are row numbers."""

    people: pd.DataFrame
    ads: pd.DataFrame
    campaigns: pd.DataFrame
    publishers: pd.DataFrame

    @classmethod
    def read(cls, world: Path) -> PublicCatalogue:
        return cls(*(pq.read_table(world / f"{name}.parquet").to_pandas() for name in cls.__annotations__))


@dataclass(frozen=True)
class EventLog:
    """n impressions ordered by `at_s`, then by `number`. Impressions of an unknown user or ad are dropped.

    `at_s` float64[n] is the time when the service received the impression; in the generated history, the time of the
    page request. `number` int64[n], `user` and `ad` int32[n], `slot` int8[n]. `price` float32[n] of a click. `clicked`
    int64[c] are the indices of the clicked impressions, ascending, and `label_s` float64[c] the report times of their
    clicks, never before `at_s`.
    """

    at_s: Array
    number: Ints
    user: npt.NDArray[np.int32]
    ad: npt.NDArray[np.int32]
    slot: npt.NDArray[np.int8]
    price: Floats
    clicked: Ints
    label_s: Array

    @classmethod
    def of(cls, table: pa.Table, catalogue: PublicCatalogue) -> EventLog:
        """The log of `table`, which has `LOG_COLUMNS` and its rows in any order."""
        column = {name: table[name].to_numpy() for name in LOG_COLUMNS}
        user, ad, slot = (column[name] for name in ("user_id", "ad_id", "slot"))
        is_known = (user >= 0) & (user < len(catalogue.people)) & (ad >= 0) & (ad < len(catalogue.ads))
        is_known &= (slot >= 0) & (slot < SLOTS)
        at_s, number = seconds(column["seen_ts"]), column["impression_id"].astype(np.int64)
        kept = np.flatnonzero(is_known)
        kept = kept[np.lexsort((number[kept], at_s[kept]))]
        clicked = np.flatnonzero(column["clicked"][kept])
        label_s = np.maximum(seconds(column["label_ts"])[kept[clicked]], at_s[kept[clicked]])
        return cls(
            at_s=at_s[kept],
            number=number[kept],
            user=user[kept].astype(np.int32),
            ad=ad[kept].astype(np.int32),
            slot=slot[kept].astype(np.int8),
            price=column["price"][kept].astype(np.float32),
            clicked=clicked,
            label_s=label_s,
        )

    def __len__(self) -> int:
        return len(self.at_s)

    def before(self, t: float, window_s: float = np.inf) -> slice:
        """The impressions with t - window_s <= `at_s` < t."""
        return self.between(t - window_s, t)

    def between(self, from_s: float, to_s: float) -> slice:
        """The impressions with from_s <= `at_s` < to_s."""
        return slice(*(int(np.searchsorted(self.at_s, at)) for at in (from_s, to_s)))

    def clicks_before(self, t: float, window_s: float = np.inf) -> Ints:
        """int64[c]: indices of the impressions whose clicks were reported in the window before `t`."""
        return self.clicks_between(t - window_s, t)

    def clicks_between(self, from_s: float, to_s: float) -> Ints:
        """int64[c]: indices of the impressions with from_s <= `label_s` < to_s."""
        order, label_s = self._by_label
        first, last = (int(np.searchsorted(label_s, at)) for at in (from_s, to_s))
        return order[first:last]

    def of_users(self, users: Ints) -> EventLog:
        """The impressions of `users`."""
        kept = rows_of(self.user, users)
        place = np.minimum(np.searchsorted(kept, self.clicked), max(len(kept) - 1, 0))
        is_kept = kept[place] == self.clicked if len(kept) else np.zeros(len(self.clicked), bool)
        columns: dict[str, Any] = {name: getattr(self, name)[kept] for name in COLUMNS}
        return EventLog(**columns, clicked=place[is_kept], label_s=self.label_s[is_kept])

    @cached_property
    def _by_label(self) -> tuple[Ints, Array]:
        order = np.argsort(self.label_s, kind="stable")
        return self.clicked[order], self.label_s[order]


def cut_log(context: StepContext) -> Facts:
    """Write `shown/`, `clicks/` and `live.json` (`infra.live.kept_log`). Returns the numbers of impressions and clicks.

    Raises `LabError` if a file of the cut is missing or unreadable.
    """
    config: CtrConfig = context.config
    keep_cut(LIVE_LOG, context)
    with log_errors():
        shown = read_live(context.out)
    seen_s, label_s = (
        np.zeros(0) if shown is None else seconds(shown[name].to_numpy()) for name in ("seen_ts", "label_ts")
    )
    label_s = label_s[np.isfinite(label_s)]
    facts = {"impressions": len(seen_s), "clicks": len(label_s)}
    write_cut(context.out, facts, end_ts(config.world), seen_s, label_s)
    return facts


def read_live(live: Path) -> pa.Table | None:
    """The live impressions without duplicates, with `clicked` and `label_ts` of the first reported click; None if there
    are none."""
    shown = read_shown(live)
    return None if shown is None else with_clicks(shown, read_clicks(live))


def read_shown(live: Path) -> pa.Table | None:
    """The impressions of the live log without duplicates; None if there is none."""
    shown = read_folder(live / SHOWN)
    if shown is None or not len(shown):
        return None
    _, first = np.unique(shown["impression_id"].to_numpy(), return_index=True)
    return shown.take(pa.array(np.sort(first)))


def read_clicks(live: Path) -> pa.Table | None:
    """The clicks of the live log, including clicks without a logged impression; None if there is none."""
    clicks = read_folder(live / CLICKS)
    return clicks if clicks is not None and len(clicks) else None


def with_clicks(shown: pa.Table, clicks: pa.Table | None) -> pa.Table:
    """`shown` joined with `clicked` and `label_ts` of `clicks` on `impression_id`."""
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
    """All impressions and clicks (or those of `users`) of the generated history and of the log in `live`. In the
    history, an impression counts from its request on."""
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
    """Like `event_log`, for blocks of users that fit into memory for a log of any length. Counts per ad are additive
    over the blocks."""
    everyone = len(catalogue.people)
    for first in range(0, max(everyone, 1), USERS_AT_ONCE):
        users = range(first, min(first + USERS_AT_ONCE, everyone))
        yield users, event_log(world, live, catalogue, None if len(users) == everyone else users)
