"""Feature columns as of a time `t`, aggregated from the log. Training and the live worker share these transforms.

Features as of t include the events with `label_ts` < t. The offline step `features` calls these functions for every
snapshot time; the worker calls them for the current second. `EventLog` drops events with an unknown post or user and
counts them in `EventLog.unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feed_ranking.config import FeedConfig
from feed_ranking.domain import COUNTS, CREATOR_COUNTS, REACTIONS, REGION_UTC_OFFSET_H, TOPIC_COUNTS, Floats, Ids
from feed_ranking.events.history import EventLog, PublicCatalogue
from infra.columns import DAY_S, HOUR_S, lists, timestamps

REGIONS = len(REGION_UTC_OFFSET_H)


def activity_at(log: EventLog, config: FeedConfig, t: float, users: Ids | None = None) -> pa.Table:
    """Reactions of each user (or of each of `users`) in the windows before `t`. Users without events get no row."""
    topics, slots = config.world.topics, config.features.creator_slots
    window_s, recent_s = config.features.window_days * DAY_S, config.features.recent_days * DAY_S
    if users is not None:
        log = log.of_users(users, log.before(t, max(window_s, recent_s)))
    long, recent = log.before(t, window_s), log.before(t, recent_s)
    found, row = np.unique(log.user[long], return_inverse=True)
    counts = _user_counts(log, long, row, len(found))
    counts_recent = _user_counts(log, recent, np.searchsorted(found, log.user[recent]), len(found))
    kinds = [REACTIONS.index(name) for name in TOPIC_COUNTS]
    topic = log.topic(long)
    in_world = (topic >= 0) & (topic < topics)  # a live post may name a topic that does not exist
    cell, reactions = (row * topics + topic)[in_world], log.counts[long][in_world]
    per_topic = np.stack(
        [np.bincount(cell, reactions[:, kind], len(found) * topics).reshape(len(found), topics) for kind in kinds],
        axis=1,
    )
    creators, creator_counts = _top_creators(log, long, row, len(found), slots)
    return pa.table(
        {
            "user_id": found.astype(np.int64),
            "counts_long": lists(counts),
            "counts_recent": lists(counts_recent),
            "topic_counts": lists(per_topic.reshape(len(found), len(kinds) * topics).astype(np.float32)),
            "creators": lists(creators),
            "creator_counts": lists(creator_counts.reshape(len(found), len(CREATOR_COUNTS) * slots)),
            "feature_ts": timestamps(np.full(len(found), t)),
        }
    )


def _user_counts(log: EventLog, window: slice, row: Ids, users: int) -> Floats:
    """float32[users, COUNTS]; `row` int64[events] is the row of each event's user."""
    sums = [np.bincount(row, log.counts[window, kind], users) for kind in range(len(REACTIONS))]
    session = log.session[window]
    order = np.lexsort((session, row))  # apps choose session ids: unique per user only
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(session[order]) != 0) | (np.diff(row[order]) != 0)
    sessions = np.bincount(row[order][is_first], minlength=users)
    assert len(COUNTS) == len(sums) + 1
    return np.stack([*sums, sessions], axis=1).astype(np.float32)


def _top_creators(log: EventLog, window: slice, row: Ids, users: int, slots: int) -> tuple[Ids, Floats]:
    """The `slots` creators that each user clicked most, ties broken by impressions: ids int64[users, slots], padded
    with -1, and float32[users, CREATOR_COUNTS, slots]."""
    known, code = np.unique(log.creator(window), return_inverse=True)  # ids may be any int64
    base = max(len(known), 1)
    pair, inverse = np.unique(row * base + code, return_inverse=True)
    sums = [
        np.bincount(inverse, log.counts[window, REACTIONS.index(name)], len(pair)).astype(np.float32)
        for name in CREATOR_COUNTS
    ]
    user, creator = pair // base, known[pair % base]
    order = np.lexsort((-sums[0], -sums[1], user))
    start = np.searchsorted(user[order], np.arange(users))
    place = np.arange(len(order)) - start[user[order]]
    kept, place = order[place < slots], place[place < slots]
    ids = np.full((users, slots), -1, np.int64)
    counts = np.zeros((users, len(CREATOR_COUNTS), slots), np.float32)
    ids[user[kept], place] = creator[kept]
    for kind, values in enumerate(sums):
        counts[user[kept], kind, place] = values[kept]
    return ids, counts


def post_stats_at(
    log: EventLog,
    catalogue: PublicCatalogue,
    config: FeedConfig,
    t: float,
    total: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    """Reactions to each post that is alive at `t`, in total and in the last hours, and its heat.

    `total` float64[posts, REACTIONS] are the reactions before `t`, if the caller has counted them already.
    """
    count, life_s = len(catalogue.posts), config.world.post_life_h * HOUR_S
    published = catalogue.posts["published_ts"].to_numpy()
    step_s = config.features.post_snapshot_h * HOUR_S
    if total is None:
        total = reactions_to_posts(log, log.before(t), count)
    recent = reactions_to_posts(log, log.before(t, step_s), count)
    alive = np.flatnonzero((published < t) & (published >= t - life_s - step_s))
    heat = post_heat(log, t, config.features.heat_half_life_h, count)
    return pa.table(
        {
            "post_id": catalogue.posts["post_id"].to_numpy(np.int64)[alive],
            **{f"post_{name}": total[alive, kind].astype(np.float32) for kind, name in enumerate(REACTIONS)},
            "post_impressions_recent": recent[alive, 0].astype(np.float32),
            "post_clicks_recent": recent[alive, 1].astype(np.float32),
            **{f"heat_{region}": heat[region, alive].astype(np.float32) for region in range(REGIONS)},
            "feature_ts": timestamps(np.full(len(alive), t)),
        }
    )


def reactions_to_posts(log: EventLog, window: slice, posts: int) -> npt.NDArray[np.float64]:
    """float64[posts, REACTIONS]: the reactions to each post in `window`."""
    sums = [np.bincount(log.post[window], log.counts[window, kind], posts) for kind in range(len(REACTIONS))]
    return np.stack(sums, axis=1).astype(np.float64)  # np.bincount returns int64 if there are no events


def post_heat(log: EventLog, t: float, half_life_h: float, posts: int) -> npt.NDArray[np.float64]:
    """float64[regions, posts]: clicks before `t`, by the user's region, with exponential decay."""
    window = log.before(t, 10 * half_life_h * HOUR_S)
    weight = log.counts[window, 1] * np.exp2(-(t - log.known_s[window]) / HOUR_S / half_life_h)
    cell = log.region(window) * posts + log.post[window]
    return np.asarray(np.bincount(cell, weight, REGIONS * posts).reshape(REGIONS, posts), np.float64)


def hottest(heat: npt.NDArray[np.floating], limit: int) -> Ids:
    """int64[1 + regions, m]: the `limit` hottest columns of `heat` [regions, posts], first over all regions, then per
    region."""
    ranked = [np.argsort(-row, kind="stable")[:limit] for row in (heat.sum(axis=0), *heat)]
    return np.stack(ranked).astype(np.int64)


def creator_stats_at(
    log: EventLog,
    catalogue: PublicCatalogue,
    config: FeedConfig,
    t: float,
    long: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    """Followers, posts, and reactions in the windows before `t`, of every creator that has joined.

    `long` float64[creators, REACTIONS] are the reactions in the long window, if the caller has counted them already.
    """
    creators, posts = catalogue.creators, catalogue.posts
    joined, n = creators["joined_ts"].to_numpy(), len(creators)
    there = np.flatnonzero(joined <= t)
    if long is None:
        long = reactions_to_creators(log, log.before(t, config.features.window_days * DAY_S), n)
    recent = reactions_to_creators(log, log.before(t, config.features.recent_days * DAY_S), n)
    known = catalogue.follows["creator_id"].to_numpy()[catalogue.follows["since_ts"].to_numpy() <= t]
    author = posts["creator_id"].to_numpy()
    is_out = (posts["published_ts"].to_numpy() < t) & (author >= 0) & (author < n)
    author = author[is_out]
    count = np.bincount(author, minlength=n)

    columns: Mapping[str, npt.NDArray[np.generic]] = {
        "creator_followers": np.bincount(known, minlength=n),
        "creator_posts": count,
        "creator_age_days": np.maximum(t - joined, 0) / DAY_S,
        **{
            f"creator_{signal}": np.bincount(author, posts[signal].to_numpy()[is_out], n) / np.maximum(count, 1)
            for signal in ("quality_signal", "bait_signal")
        },
        **{f"creator_{name}": long[:, kind] for kind, name in enumerate(REACTIONS)},
        "creator_impressions_recent": recent[:, 0],
        "creator_clicks_recent": recent[:, 1],
    }
    return pa.table(
        {
            "creator_id": there.astype(np.int64),
            "creator_region": creators["region"].to_numpy()[there],
            **{name: values[there].astype(np.float32) for name, values in columns.items()},
            "feature_ts": timestamps(np.full(len(there), t)),
        }
    )


def reactions_to_creators(log: EventLog, window: slice, creators: int) -> npt.NDArray[np.float64]:
    """float64[creators, REACTIONS]: the reactions to each creator of the catalogue in `window`."""
    creator, counts = log.creator(window), log.counts[window]
    if len(creator) and (creator.min() < 0 or creator.max() >= creators):
        is_known = (creator >= 0) & (creator < creators)
        creator, counts = creator[is_known], counts[is_known]
    sums = [np.bincount(creator, counts[:, kind], creators) for kind in range(len(REACTIONS))]
    return np.stack(sums, axis=1).astype(np.float64)  # np.bincount returns int64 if there are no events
