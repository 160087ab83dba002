"""Feature columns as of one time `t`, counted from the log: the transforms that training and the live worker share.

What counts at t was known just before t: impressions that one had heard of, `seen_ts` < t, and clicks whose report had
arrived, `label_ts` < t. A click of two hours ago that is reported tomorrow does not count today. Were an impression
counted from its request on, a row that was pushed between the request and the news of it could never be counted again.
The offline step `features` calls these for every snapshot time; the worker calls them for now.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS, Array, Floats, Ints

HOUR_S, DAY_S = 3_600.0, 86_400.0
LOG_COLUMNS = ("impression_id", "seen_ts", "user_id", "ad_id", "slot", "price", "clicked", "label_ts")
"""what is counted of the log; a table may have more columns"""


@dataclass(frozen=True)
class PublicCatalogue:
    """What is public of people, ads, campaigns and publishers, as written by the step `world`; ids are rows."""

    people: pd.DataFrame
    ads: pd.DataFrame
    campaigns: pd.DataFrame
    publishers: pd.DataFrame

    @classmethod
    def read(cls, world: Path) -> PublicCatalogue:
        return cls(*(pq.read_table(world / f"{name}.parquet").to_pandas() for name in cls.__annotations__))


@dataclass(frozen=True)
class EventLog:
    """n impressions in order of `at_s` float64[n], when one heard of them (of the history's at once, as their page was
    asked for), and of `number`. int64[n]: `number`, `user`, `ad`, `campaign`, `slot`. float64[n]: `price` of a click,
    and `label_s`, when a click was reported: infinite where none was, and never before one had heard of the impression.
    Impressions of an unknown user or ad are left out."""

    at_s: Array
    number: Ints
    user: Ints
    ad: Ints
    campaign: Ints
    slot: Ints
    price: Array
    label_s: Array

    @classmethod
    def of(cls, table: pa.Table, catalogue: PublicCatalogue) -> EventLog:
        """The log of `table`, with `LOG_COLUMNS` in any order of rows."""
        column = {name: table[name].to_numpy() for name in LOG_COLUMNS}
        user, ad, slot = (column[name].astype(np.int64) for name in ("user_id", "ad_id", "slot"))
        is_known = (user >= 0) & (user < len(catalogue.people)) & (ad >= 0) & (ad < len(catalogue.ads))
        is_known &= (slot >= 0) & (slot < SLOTS)
        at_s, number = seconds(column["seen_ts"]), column["impression_id"].astype(np.int64)
        kept = np.flatnonzero(is_known)
        kept = kept[np.lexsort((number[kept], at_s[kept]))]
        label_s = np.maximum(seconds(column["label_ts"]), at_s)
        label_s[~column["clicked"].astype(bool)] = np.inf
        return cls(
            at_s=at_s[kept],
            number=number[kept],
            user=user[kept],
            ad=ad[kept],
            campaign=catalogue.ads["campaign_id"].to_numpy(np.int64)[ad[kept]],
            slot=slot[kept],
            price=column["price"].astype(np.float64)[kept],
            label_s=label_s[kept],
        )

    def __len__(self) -> int:
        return len(self.at_s)

    def before(self, t: float, window_s: float = np.inf) -> slice:
        """The impressions of before `t` and not older than the window."""
        return slice(*(int(np.searchsorted(self.at_s, at)) for at in (t - window_s, t)))

    def clicks_before(self, t: float, window_s: float = np.inf) -> Ints:
        """int64[c]: places of the clicks that were reported in the window before `t`."""
        order, label_s = self._by_label
        first, last = (int(np.searchsorted(label_s, at)) for at in (t - window_s, t))
        return order[first:last]

    def of_users(self, users: Ints) -> EventLog:
        kept = np.flatnonzero(np.isin(self.user, users))
        return EventLog(*(getattr(self, name)[kept] for name in EventLog.__annotations__))

    @cached_property
    def _by_label(self) -> tuple[Ints, Array]:
        clicked = np.flatnonzero(np.isfinite(self.label_s))
        order = clicked[np.argsort(self.label_s[clicked], kind="stable")]
        return order, self.label_s[order]


def activity_at(log: EventLog, config: CtrConfig, t: float, users: Ints | None = None) -> pa.Table:
    """Impressions by slot and clicks of each user (or each of `users`) in the window before `t`; no row for those of
    whom one never heard. Those of whom all is too old have one of zeros: a join would find their last one with counts.
    """
    if users is not None:
        log = log.of_users(users)
    window_s = config.features.window_days * DAY_S
    shown, clicks = counts_at(log, log.user, int(log.user.max(initial=-1)) + 1, t, window_s)
    found = np.unique(log.user[log.before(t)])
    return counts_table("user_id", found, shown[found], clicks[found], t)


def exposure_at(log: EventLog, config: CtrConfig, t: float, users: Ints | None = None) -> pa.Table:
    """Which ads each user was shown before `t`, how often ever, and how often in the last day; the `exposures` that
    were seen last."""
    if users is not None:
        log = log.of_users(users)
    known = log.before(t)
    base = np.int64(int(log.ad.max(initial=0)) + 1)
    key = log.user[known] * base + log.ad[known]
    pairs, inverse, total = np.unique(key, return_inverse=True, return_counts=True)
    last = np.zeros(len(pairs), np.int64)
    np.maximum.at(last, inverse, np.arange(len(key)))
    recent = log.before(t, DAY_S).start
    today = np.bincount(inverse[recent:], minlength=len(pairs))
    user, ad = pairs // base, pairs % base
    order = np.lexsort((-last, user))
    start = np.searchsorted(user[order], user[order])
    order = order[np.arange(len(order)) - start < config.features.exposures]
    found, count = np.unique(user[order], return_counts=True)
    return pa.table(
        {
            "user_id": found.astype(np.int64),
            "seen_ads": ragged(ad[order], count),
            "seen_counts": ragged(total[order].astype(np.int64), count),
            "seen_today": ragged(today[order].astype(np.int64), count),
            "feature_ts": timestamps(np.full(len(found), t)),
        }
    )


def ad_stats_at(log: EventLog, catalogue: PublicCatalogue, config: CtrConfig, t: float) -> tuple[Floats, Floats]:
    """float32[ads, SLOTS] impressions and float32[ads] clicks in the window before `t`."""
    return counts_at(log, log.ad, len(catalogue.ads), t, config.features.window_days * DAY_S)


def campaign_stats_at(log: EventLog, catalogue: PublicCatalogue, config: CtrConfig, t: float) -> tuple[Floats, Floats]:
    """The same of campaigns."""
    return counts_at(log, log.campaign, len(catalogue.campaigns), t, config.features.window_days * DAY_S)


def counts_at(log: EventLog, who: Ints, size: int, t: float, window_s: float) -> tuple[Floats, Floats]:
    """float32[size, SLOTS] impressions and float32[size] reported clicks of each `who` int64[n] before `t`."""
    window = log.before(t, window_s)
    cell = who[window] * SLOTS + log.slot[window]
    shown = np.bincount(cell, minlength=size * SLOTS).reshape(size, SLOTS)
    clicks = np.bincount(who[log.clicks_before(t, window_s)], minlength=size)
    return shown.astype(np.float32), clicks.astype(np.float32)


def spent_at(log: EventLog, campaigns: int, t: float) -> Array:
    """float64[campaigns]: money for clicks that were reported since midnight (UTC) before `t`."""
    clicks = log.clicks_before(t, t % DAY_S)
    return np.bincount(log.campaign[clicks], log.price[clicks], campaigns).astype(np.float64)


def counts_table(key: str, ids: Ints, shown: Floats, clicks: Floats, t: float) -> pa.Table:
    """Rows for a feature view: `shown` as a list by slot, and `clicks`."""
    return pa.table(
        {
            key: ids.astype(np.int64),
            "shown": lists(shown),
            "clicks": clicks,
            "feature_ts": timestamps(np.full(len(ids), t)),
        }
    )


def seen_of(users: Ints, ads: Ints, exposed: tuple[Ints, Ints, Ints]) -> Ints:
    """int64[n]: how often each user was shown each ad, by `exposed` (user, ad, count)."""
    base = np.int64(max(int(ads.max(initial=0)), int(exposed[1].max(initial=0))) + 1)
    keys = exposed[0] * base + exposed[1]
    order = np.argsort(keys)
    wanted = users * base + ads
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][place] == wanted, exposed[2][order][place], 0)


def seconds(at: npt.NDArray[Any]) -> Array:
    """Timestamps as seconds since the epoch; a missing one is NaN."""
    micros = at.astype("datetime64[us]")
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)


def timestamps(at_s: npt.ArrayLike) -> pa.Array:
    """Seconds since the epoch as timestamps; NaN becomes null."""
    values = np.asarray(at_s, np.float64)
    is_missing = np.isnan(values)
    micros = np.where(is_missing, 0, values * 1e6).astype(np.int64)
    return pa.array(micros, mask=is_missing).cast(pa.timestamp("us", tz="UTC"))


def lists(rows: npt.NDArray[Any]) -> pa.Array:
    """An array [n, k] as n lists of k."""
    return ragged(rows.ravel(), np.full(len(rows), rows.shape[1]))


def ragged(values: npt.NDArray[Any], counts: npt.NDArray[np.integer[Any]]) -> pa.Array:
    """Lists of `counts` values each, one after the other."""
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values))
