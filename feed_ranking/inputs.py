"""What the networks read: every input of towers and rankers, computed once for training and serving.

Skew between training and serving has one usual cause: the same feature computed twice. Here each input exists once,
on arrays; training passes many users, serving passes one. Rates are smoothed here, from raw counts: a post's towards
its creator's, a creator's towards everyone's.

The inputs come in families. Those of a post and its creator do not depend on who asks; the snapshot holds them ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import (
    COUNTS,
    REGION_UTC_OFFSET_H,
    STATS,
    TOPIC_COUNTS,
    Floats,
    Ids,
    PostFeatures,
    Times,
    UserFeatures,
)

FOLLOW_STRENGTH = 8.0
REGIONS, MEDIA = len(REGION_UTC_OFFSET_H), 3
RATES = ("click_rate", "like_rate", "comment_rate", "dwell_s")
"""The last three are per click."""


@dataclass(frozen=True)
class Priors:
    """What is assumed of someone of whom little is known: the rates `RATES` of everyone in the training data, and how
    many impressions (or clicks) that assumption weighs. `follow_shares` are the mean shares of follows per topic."""

    click_rate: float
    like_rate: float
    comment_rate: float
    dwell_s: float
    topics: int
    follow_shares: tuple[float, ...]
    strength: float = 20.0
    pair_strength: float = 8.0


def priors_from(meta: Mapping[str, Any]) -> Priors:
    """The priors that a manifest holds. Raises `KeyError` or `TypeError` if it holds none."""
    return Priors(**{**meta["priors"], "follow_shares": tuple(meta["priors"]["follow_shares"])})


def user_names() -> list[str]:
    names = [f"user_{name}_log" for name in ("impressions", "clicks", "sessions", "impressions_recent")]
    names += [f"user_{name}" for name in ("click_rate", "like_rate", "comment_rate", "dwell_log", "click_rate_recent")]
    names += ["user_depth_log", "user_click_trend", "user_follow_count_log", "user_follow_focus", "user_topic_focus"]
    return names + ["user_is_new"] + [f"user_region_{region}" for region in range(REGIONS)]


def creator_names() -> list[str]:
    names = [f"creator_{name}_log" for name in ("followers", "posts", "age", "impressions", "impressions_recent")]
    names += ["creator_click_rate", "creator_like_rate", "creator_comment_rate", "creator_dwell_log"]
    return [
        *names,
        "creator_click_rate_recent",
        "creator_click_trend",
        "creator_worth_log",
        "creator_bait_gap",
        "creator_quality_signal",
        "creator_bait_signal",
    ]


def post_names(topics: int) -> list[str]:
    names = ["post_quality_signal", "post_bait_signal"] + [f"post_media_{kind}" for kind in range(MEDIA)]
    names += ["post_impressions_log", "post_clicks_log", "post_impressions_recent_log", "post_clicks_recent_log"]
    names += ["post_click_rate", "post_like_rate", "post_comment_rate", "post_dwell_log", "post_click_rate_recent"]
    names += ["post_click_trend", "post_lift_over_creator", "post_worth_log", "post_heat_log"]
    return names + [f"post_topic_{topic}" for topic in range(topics)]


@cache
def item_names(topics: int) -> tuple[str, ...]:
    """The columns of `post_inputs`, in order."""
    return (*creator_names(), *post_names(topics))


PAIR_NAMES = (
    "user_creator_follows",
    "user_creator_impressions_log",
    "user_creator_clicks_log",
    "user_creator_click_lift",
    "user_creator_dwell_log",
    "user_creator_seen_in_session",
    "user_creator_same_region",
    "user_creator_is_known",
    "user_topic_impressions_log",
    "user_topic_clicks_log",
    "user_topic_click_lift",
    "user_topic_like_lift",
    "user_topic_dwell_lift",
    "user_topic_share_of_impressions",
    "user_topic_share_of_clicks",
    "user_topic_follow_share",
    "user_topic_follow_lift",
    "user_topic_declared",
    "user_topic_creator_worth",
)
CONTEXT_NAMES = (
    "context_hour_sin",
    "context_hour_cos",
    "context_weekday_sin",
    "context_weekday_cos",
    "context_depth_log",
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
    "retrieval_taste_by_worth",
    "retrieval_taste_by_bait",
)


TOPIC_LOGS = ("impressions", "clicks", "click_lift", "like_lift", "dwell_lift")
"""Of these, rankers see the logarithm."""


@cache
def ranker_names(topics: int) -> tuple[str, ...]:
    """The columns of `ranker_inputs`, in order: families of user, creator, post, pair, context and retrieval."""
    pairs = [*PAIR_NAMES, *CONTEXT_NAMES, *RETRIEVAL_NAMES]
    return (*user_names(), *item_names(topics), *pairs)


LIGHT_NAMES = (
    "user_click_rate",
    "creator_click_rate",
    "creator_dwell_log",
    "creator_worth_log",
    "post_quality_signal",
    "post_bait_signal",
    "post_click_rate",
    "post_clicks_recent_log",
    "user_creator_follows",
    "user_creator_seen_in_session",
    "user_topic_click_lift",
    "user_topic_follow_lift",
    "user_topic_declared",
    "context_post_age_log",
    "retrieval_tower_score",
    "retrieval_heat_here_log",
)
"""The few that the light ranker reads."""


def user_inputs(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, len(user_names())]."""
    long, recent = _counts(users.counts_long), _counts(users.counts_recent)
    clicked = _rate(long["clicks"], long["impressions"], priors.click_rate, priors.strength)
    clicked_recently = _rate(recent["clicks"], recent["impressions"], clicked, priors.strength)
    topics = _per_topic(users, priors)
    columns = [
        np.log1p(long["impressions"]),
        np.log1p(long["clicks"]),
        np.log1p(long["sessions"]),
        np.log1p(recent["impressions"]),
        clicked,
        _rate(long["likes"], long["clicks"], priors.like_rate, priors.pair_strength),
        _rate(long["comments"], long["clicks"], priors.comment_rate, priors.strength),
        np.log(_rate(long["dwell_s"], long["clicks"], priors.dwell_s, priors.pair_strength)),
        clicked_recently,
        np.log1p(long["impressions"] / np.maximum(long["sessions"], 1)),
        clicked_recently - clicked,
        np.log1p((users.follows >= 0).sum(axis=1)),
        (users.follow_topics**2).sum(axis=1),
        ((topics["clicks"] / np.maximum(long["clicks"], 1)[:, None]) ** 2).sum(axis=1),
        long["impressions"] == 0,
        *(users.region == region for region in range(REGIONS)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def post_inputs(posts: PostFeatures, priors: Priors) -> Floats:
    """float32[n, len(creator_names()) + len(post_names(topics))]: what does not depend on who asks, or when."""
    stat = {name: posts.stats[:, column] for column, name in enumerate(STATS)}

    def rates(of: str, towards: tuple[npt.ArrayLike, ...], strength: float) -> tuple[Floats, ...]:
        clicks = stat[f"{of}_clicks"]
        return (
            _rate(clicks, stat[f"{of}_impressions"], towards[0], strength),
            *(
                _rate(stat[f"{of}_{name}"], clicks, prior, priors.pair_strength)
                for name, prior in zip(("likes", "comments", "dwell_s"), towards[1:], strict=True)
            ),
        )

    everyone = (priors.click_rate, priors.like_rate, priors.comment_rate, priors.dwell_s)
    creator = rates("creator", everyone, priors.strength * 3)
    creator_recent = _rate(
        stat["creator_clicks_recent"], stat["creator_impressions_recent"], creator[0], priors.strength * 3
    )
    post = rates("post", creator, priors.strength)
    post_recent = _rate(stat["post_clicks_recent"], stat["post_impressions_recent"], post[0], priors.strength)
    columns = [
        *(np.log1p(stat[f"creator_{name}"]) for name in ("followers", "posts", "age_days", "impressions")),
        np.log1p(stat["creator_impressions_recent"]),
        creator[0],
        creator[1],
        creator[2],
        np.log(creator[3]),
        creator_recent,
        creator_recent - creator[0],
        np.log(creator[0] * creator[3]),
        np.log(creator[0] / priors.click_rate) - np.log(creator[3] / priors.dwell_s),
        stat["creator_quality_signal"],
        stat["creator_bait_signal"],
        stat["quality_signal"],
        stat["bait_signal"],
        *(posts.media == kind for kind in range(MEDIA)),
        np.log1p(stat["post_impressions"]),
        np.log1p(stat["post_clicks"]),
        np.log1p(stat["post_impressions_recent"]),
        np.log1p(stat["post_clicks_recent"]),
        post[0],
        post[1],
        post[2],
        np.log(post[3]),
        post_recent,
        post_recent - post[0],
        np.log(post[0] / creator[0]),
        np.log(post[0] * post[3]),
        np.log1p(sum(stat[f"heat_{region}"] for region in range(REGIONS))),
        *(posts.topic == topic for topic in range(priors.topics)),
    ]
    out = np.empty((len(posts), len(columns)), np.float32)
    for index, column in enumerate(columns):
        out[:, index] = column
    return out


@dataclass(frozen=True)
class Context:
    """The circumstances of n impressions (or one request, with scalars): when, how deep in the session, and how many
    posts of the same creator were seen in it before."""

    now_ts: float | Times
    depth: float | npt.NDArray[np.integer]
    creator_before: npt.NDArray[np.integer]


def ranker_inputs(
    users: UserFeatures,
    posts: PostFeatures,
    item_side: Floats,
    tower_score: Floats,
    context: Context,
    priors: Priors,
    user_rows: npt.NDArray[np.intp] | None = None,
) -> Floats:
    """float32[n, len(ranker_names(topics))] for n posts.

    `users` are one user, or m of whom `user_rows` int[n] says which one each post was shown to. `item_side` is
    `post_inputs(posts)`, `tower_score` float32[n] the product of the two towers' outputs.
    """
    # zeros of length one: what belongs to the one user is computed once and broadcast
    rows = np.zeros(1, np.intp) if user_rows is None else user_rows
    asker = user_inputs(users, priors)
    pairs = _pair_columns(users, posts, item_side, tower_score, context, priors, rows)
    out = np.empty((len(posts), asker.shape[1] + item_side.shape[1] + len(pairs)), np.float32)
    out[:, : asker.shape[1]] = asker[rows]
    out[:, asker.shape[1] : -len(pairs)] = item_side
    for index, column in enumerate(pairs):
        out[:, index - len(pairs)] = column
    return out


def user_tower_inputs(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, …]: how much is known, and per topic what was clicked, followed and declared."""
    topics = _per_topic(users, priors)
    declared = (users.declared[:, :, None] == np.arange(priors.topics)).any(axis=1)
    liked, followed = np.log(topics["click_lift"]), np.log(_follow_lift(users, priors))
    scalars = np.log1p(users.counts_long[:, :2])
    region = users.region[:, None] == np.arange(REGIONS)
    return np.concatenate([scalars, liked, followed, declared, region], axis=1).astype(np.float32)


def post_tower_inputs(posts: PostFeatures, item_side: Floats) -> Floats:
    """float32[n, …]: the item side and the creator's region. No age: an embedding must not change while a post waits
    in the index."""
    region = posts.creator_region[:, None] == np.arange(REGIONS)
    return np.concatenate([item_side, region], axis=1).astype(np.float32)


def _pair_columns(
    users: UserFeatures,
    posts: PostFeatures,
    item_side: Floats,
    tower_score: Floats,
    context: Context,
    priors: Priors,
    rows: npt.NDArray[np.intp],
) -> list[npt.NDArray[np.generic]]:
    item = dict(zip(item_names(priors.topics), item_side.T, strict=True))
    first = STATS.index("heat_0")
    heat = posts.stats[:, first : first + REGIONS]
    region = users.region[rows]

    known = _lookup(users.creators, posts.creator_id, rows)
    slots = users.creators.shape[1]
    counts = users.creator_counts.reshape(len(users), -1, slots)
    shown, clicks, dwell = (np.where(known >= 0, counts[rows, kind, known], np.float32(0)) for kind in range(3))
    general = _rate(users.counts_long[:, 1], users.counts_long[:, 0], priors.click_rate, priors.strength)[rows]
    follows = (
        _lookup(users.follows, posts.creator_id, rows) >= 0 if users.follows.shape[1] else np.zeros(len(posts), bool)
    )

    topics = _per_topic(users, priors)
    logs = {name: (np.log if "lift" in name else np.log1p)(topics[name]) for name in TOPIC_LOGS}
    topic = {name: values[rows, posts.topic] for name, values in (topics | logs).items()}
    follow_share = users.follow_topics[rows, posts.topic]
    declared = (users.declared[rows] == posts.topic[:, None]).any(axis=1)
    log_lift = np.log(_follow_lift(users, priors))[rows, posts.topic]
    taste = topic["click_lift"] + log_lift + declared

    now = np.asarray(context.now_ts, np.float64)
    age_h = np.maximum(now - posts.published_ts, 0.0) / 3600
    local_h = (now / 3600 + np.asarray(REGION_UTC_OFFSET_H)[region]) % 24
    weekday = (now / 86_400 + 4) % 7
    here, everywhere = heat[np.arange(len(posts)), region], heat.sum(axis=1)
    aged = np.log1p(age_h)
    return [
        follows,
        np.log1p(shown),
        np.log1p(clicks),
        np.log(_rate(clicks, shown, general, priors.pair_strength) / general),
        np.log1p(dwell),
        context.creator_before,
        region == posts.creator_region,
        known >= 0,
        *(topic[name] for name in TOPIC_LOGS),
        topic["share_of_impressions"],
        topic["share_of_clicks"],
        follow_share,
        log_lift,
        declared,
        taste * item["creator_worth_log"],
        np.sin(local_h * (2 * np.pi / 24)),
        np.cos(local_h * (2 * np.pi / 24)),
        np.sin(weekday * (2 * np.pi / 7)),
        np.cos(weekday * (2 * np.pi / 7)),
        np.log1p(context.depth),
        aged,
        age_h / 24,
        age_h < 1,
        age_h < 6,
        age_h < 24,
        tower_score,
        np.log1p(here),
        here / (everywhere + 1.0),
        tower_score * item["post_quality_signal"],
        tower_score * aged,
        taste * item["post_worth_log"],
        taste * item["post_bait_signal"],
    ]


def _counts(matrix: Floats) -> dict[str, Floats]:
    return {name: matrix[:, column] for column, name in enumerate(COUNTS)}


def _per_topic(users: UserFeatures, priors: Priors) -> dict[str, Floats]:
    """Per user and topic float32[m, topics]: counts, shares, and lifts over the user's own rates (1 = as usual)."""
    long = {name: values[:, None] for name, values in _counts(users.counts_long).items()}
    by_kind = users.topic_counts.reshape(len(users), len(TOPIC_COUNTS), priors.topics)
    count = {name: by_kind[:, kind] for kind, name in enumerate(TOPIC_COUNTS)}
    clicked = _rate(long["clicks"], long["impressions"], priors.click_rate, priors.strength)
    liked = _rate(long["likes"], long["clicks"], priors.like_rate, priors.pair_strength)
    dwelt = _rate(long["dwell_s"], long["clicks"], priors.dwell_s, priors.pair_strength)
    strength = priors.pair_strength
    return {
        "impressions": count["impressions"],
        "clicks": count["clicks"],
        "click_lift": _rate(count["clicks"], count["impressions"], clicked, strength) / clicked,
        "like_lift": _rate(count["likes"], count["clicks"], liked, strength) / liked,
        "dwell_lift": _rate(count["dwell_s"], count["clicks"], dwelt, strength) / dwelt,
        "share_of_impressions": count["impressions"] / np.maximum(long["impressions"], 1),
        "share_of_clicks": count["clicks"] / np.maximum(long["clicks"], 1),
    }


def _follow_lift(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, topics]: how much more of a topic the user follows than others do (1 = as much), smoothed."""
    follows = (users.follows >= 0).sum(axis=1)[:, None]
    usual = np.asarray(priors.follow_shares, np.float32)
    lift = (users.follow_topics * follows + FOLLOW_STRENGTH * usual) / ((follows + FOLLOW_STRENGTH) * usual)
    return np.asarray(lift, np.float32)


def _rate(events: npt.ArrayLike, trials: npt.ArrayLike, prior: npt.ArrayLike, strength: float) -> Floats:
    """Events per trial, as if `strength` trials at the rate `prior` had been seen before."""
    rate = (np.asarray(events) + strength * np.asarray(prior)) / (np.asarray(trials) + strength)
    return np.asarray(rate, np.float32)


def _lookup(table: Ids, ids: Ids, rows: npt.NDArray[np.intp]) -> Ids:
    """Where each of `ids` int64[n] stands in its row of `table` int64[m, slots]; -1 where it does not."""
    if len(table) == 1:  # serving: sort the one row, then search in it
        order = np.argsort(table[0], kind="stable")
        ordered = table[0][order]
        place = np.minimum(np.searchsorted(ordered, ids), max(len(ordered) - 1, 0))
        return np.where(ordered[place] == ids, order[place], -1)
    equal = table[rows] == ids[:, None]
    return np.where(equal.any(axis=1), equal.argmax(axis=1), -1)
