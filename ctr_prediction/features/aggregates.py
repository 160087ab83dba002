"""Feature columns as of a time `t`, aggregated from the log. Training and the live worker share these transforms.

Features as of t include impressions with `seen_ts` < t and clicks with `label_ts` < t. A click of two hours ago that is
reported tomorrow does not count today. Impressions count from `seen_ts` and not from the request time, so a row that
the worker pushes between the two can be recomputed later. The offline step `features` calls these functions for every
snapshot time; the worker calls them for the current second.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS, Array, Floats, Ints
from ctr_prediction.events.history import EventLog, PublicCatalogue
from infra.columns import DAY_S, lists, ragged, timestamps


def activity_at(log: EventLog, config: CtrConfig, t: float, users: Ints | None = None) -> pa.Table:
    """Impressions by slot and clicks of each user (or of each of `users`) in the window before `t`. Users without
    events get no row. Users whose events are all older than the window get a row of zeros; otherwise a point-in-time
    join would find their last row with counts."""
    if users is not None:
        log = log.of_users(users)
    window_s = config.features.window_days * DAY_S
    shown, clicks = counts_at(log, log.user, int(log.user.max(initial=-1)) + 1, t, window_s)
    found = np.unique(log.user[log.before(t)])
    return counts_table("user_id", found.astype(np.int64), shown[found], clicks[found], t)


def exposure_at(log: EventLog, config: CtrConfig, t: float, users: Ints | None = None) -> pa.Table:
    """The ads that each user was shown before `t`, with the number of impressions in total and in the last day, limited
    to the `exposures` most recent ads."""
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


def campaigns_of(of_ads: tuple[Floats, Floats], catalogue: PublicCatalogue) -> tuple[Floats, Floats]:
    """float32[campaigns, SLOTS] impressions and float32[campaigns] clicks: the sums of the counts of their ads, as
    `ad_stats_at` returns them."""
    campaign, size = catalogue.ads["campaign_id"].to_numpy(np.int64), len(catalogue.campaigns)
    shown, clicks = of_ads
    by_slot = [np.bincount(campaign, shown[:, slot], size) for slot in range(SLOTS)]
    return np.stack(by_slot, axis=1).astype(np.float32), np.bincount(campaign, clicks, size).astype(np.float32)


def counts_at(log: EventLog, who: npt.NDArray[np.int32], size: int, t: float, window_s: float) -> tuple[Floats, Floats]:
    """float32[size, SLOTS] impressions and float32[size] reported clicks in the window before `t`, grouped by the id
    `who` int32[n] of each impression."""
    window = log.before(t, window_s)
    cell = who[window].astype(np.int64) * SLOTS + log.slot[window]
    shown = np.bincount(cell, minlength=size * SLOTS).reshape(size, SLOTS)
    clicks = np.bincount(who[log.clicks_before(t, window_s)], minlength=size)
    return shown.astype(np.float32), clicks.astype(np.float32)


def spent_at(log: EventLog, catalogue: PublicCatalogue, t: float) -> Array:
    """float64[campaigns]: cost of the clicks that were reported between midnight (UTC) and `t`."""
    clicks = log.clicks_before(t, t % DAY_S)
    campaign = catalogue.ads["campaign_id"].to_numpy(np.int64)[log.ad[clicks]]
    return np.bincount(campaign, log.price[clicks], len(catalogue.campaigns)).astype(np.float64)


def counts_table(key: str, ids: Ints, shown: Floats, clicks: Floats, t: float) -> pa.Table:
    """Rows of a feature view: `shown` as a list by slot, and `clicks`."""
    return pa.table(
        {
            key: ids.astype(np.int64),
            "shown": lists(shown),
            "clicks": clicks,
            "feature_ts": timestamps(np.full(len(ids), t)),
        }
    )


def seen_of(users: Ints, ads: Ints, exposed: tuple[Ints, Ints, Ints]) -> Ints:
    """int64[n]: number of impressions of each ad by each user, looked up in `exposed` (user, ad, count)."""
    base = np.int64(max(int(ads.max(initial=0)), int(exposed[1].max(initial=0))) + 1)
    keys = exposed[0] * base + exposed[1]
    order = np.argsort(keys)
    wanted = users * base + ads
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][place] == wanted, exposed[2][order][place], 0)
