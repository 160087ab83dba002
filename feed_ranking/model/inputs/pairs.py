"""Inputs of a user-post pair in the context of a request.

A request has about a thousand pairs. Therefore `users` computes tables per topic and per known creator once per user,
and this module looks up the rows for each post, one block of columns at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import REGION_UTC_OFFSET_H, STATS, Floats, Ids, PostFeatures, Times, UserFeatures
from feed_ranking.model.inputs.posts import item_names
from feed_ranking.model.inputs.smoothing import Priors
from feed_ranking.model.inputs.users import CREATOR_NAMES, TOPIC_NAMES, creator_table

Rows = npt.NDArray[np.intp]
MET_NAMES = ("user_creator_follows", "user_creator_seen_in_session", "user_creator_same_region")
MOMENT_NAMES = (
    "context_hour_sin",
    "context_hour_cos",
    "context_weekday_sin",
    "context_weekday_cos",
    "context_depth_log",
)
AGE_LIMITS_H = (1, 6, 24)
AGE_NAMES = (
    "context_post_age_log",
    "context_post_age_h",
    "context_post_is_newborn",
    "context_post_is_fresh",
    "context_post_is_today",
)
RETRIEVAL_NAMES = (
    "retrieval_tower_score",
    "retrieval_heat_here_log",
    "retrieval_heat_here_share",
    "retrieval_tower_by_quality",
    "retrieval_tower_by_age",
)
TIMES_TASTE = ("creator_worth_log", "post_worth_log", "post_bait_signal")
TASTE_NAMES = tuple(f"retrieval_taste_by_{name}" for name in ("creator_worth", "post_worth", "bait"))
PAIR_NAMES = (*CREATOR_NAMES, *TOPIC_NAMES, *MET_NAMES, *MOMENT_NAMES, *AGE_NAMES, *RETRIEVAL_NAMES, *TASTE_NAMES)
"""The columns that `fill_pairs` writes, in order."""


@dataclass(frozen=True)
class Context:
    """The context of n impressions (or of one request, with scalars): time, depth in the session, and number of earlier
    posts of the same creator in the session."""

    now_ts: float | Times
    depth: float | npt.NDArray[np.integer]
    creator_before: npt.NDArray[np.integer]


def fill_pairs(
    out: Floats,
    users: UserFeatures,
    posts: PostFeatures,
    item_side: Floats,
    tower_score: Floats,
    context: Context,
    priors: Priors,
    rows: Rows,
    topic_rows: Floats,
) -> None:
    """Write `PAIR_NAMES` into `out` float32[n, len(PAIR_NAMES)]. `rows` int[n] (or [1]: one user for all) is the row of
    the user of each of the n posts, and `topic_rows` the `topic_table` of the users. The other arguments are those of
    `ranker_inputs`."""
    creators, topics, met, moment, age, retrieval, by_taste = _blocks(out)
    creators[:] = _looked_up(creator_table(users, priors), rows, place_of(users.creators, posts.creator_id, rows))
    topics[:] = _looked_up(topic_rows, rows, posts.topic)

    region = users.region[rows]
    met[:, 0] = place_of(users.follows, posts.creator_id, rows) >= 0
    met[:, 1] = context.creator_before
    met[:, 2] = region == posts.creator_region

    now_h = np.asarray(context.now_ts, np.float64) / 3600
    day = (now_h + np.asarray(REGION_UTC_OFFSET_H)[region]) * (2 * np.pi / 24)
    week = (now_h / 24 + 4) * (2 * np.pi / 7)
    for column, value in enumerate((np.sin(day), np.cos(day), np.sin(week), np.cos(week), np.log1p(context.depth))):
        moment[:, column] = value

    age_h = np.maximum(now_h - posts.published_ts / 3600, 0.0)
    age[:, 0] = np.log1p(age_h)
    age[:, 1] = age_h / 24
    age[:, 2:] = age_h[:, None] < AGE_LIMITS_H

    item = _item_places(priors.topics)
    first = STATS.index("heat_0")
    here = posts.stats[np.arange(len(posts)), first + region]
    retrieval[:, 0] = tower_score
    retrieval[:, 1] = np.log1p(here)
    retrieval[:, 2] = here / (posts.stats[:, first : first + len(REGION_UTC_OFFSET_H)].sum(axis=1) + 1.0)
    retrieval[:, 3] = tower_score * item_side[:, item["post_quality_signal"]]
    retrieval[:, 4] = tower_score * age[:, 0]
    taste = topics[:, TOPIC_NAMES.index("user_topic_taste")]
    for column, name in enumerate(TIMES_TASTE):
        by_taste[:, column] = taste * item_side[:, item[name]]


def _blocks(out: Floats) -> list[Floats]:
    """Views of `out`, one for each group of names."""
    groups = (CREATOR_NAMES, TOPIC_NAMES, MET_NAMES, MOMENT_NAMES, AGE_NAMES, RETRIEVAL_NAMES, TASTE_NAMES)
    blocks, start = [], 0
    for names in groups:
        blocks.append(out[:, start : start + len(names)])
        start += len(names)
    return blocks


@cache
def _item_places(topics: int) -> dict[str, int]:
    return {name: place for place, name in enumerate(item_names(topics))}


def _looked_up(table: Floats, rows: Rows, places: Ids) -> Floats:
    """float32[n, width]: `table[rows, places]` for `table` [m, k, width] and `places` int64[n] (-1: the last)."""
    users, size, width = table.shape
    at = rows * size + np.where(places < 0, size - 1, places)
    found: Floats = table.reshape(users * size, width).take(at, axis=0)
    return found


def place_of(table: Ids, ids: Ids, rows: Rows) -> Ids:
    """int64[n]: the column of each of `ids` int64[n] in its row of `table` int64[m, slots]; -1 if absent."""
    if not table.shape[1]:
        return np.full(len(ids), -1, np.int64)
    if len(table) == 1:  # serving: sort the one row, then search in it
        order = np.argsort(table[0], kind="stable")
        ordered = table[0][order]
        place = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
        return np.where(ordered[place] == ids, order[place], -1)
    equal = table[rows] == ids[:, None]
    return np.where(equal.any(axis=1), equal.argmax(axis=1), -1)
