"""Inputs of a user: overall rates, and rates per topic and per known creator."""

from __future__ import annotations

import numpy as np

from feed_ranking.domain import COUNTS, CREATOR_COUNTS, REGION_UTC_OFFSET_H, TOPIC_COUNTS, Floats, UserFeatures
from feed_ranking.model.inputs.smoothing import Priors, smoothed

FOLLOW_STRENGTH = 8.0
REGIONS = len(REGION_UTC_OFFSET_H)


def user_names() -> list[str]:
    names = [f"user_{name}_log" for name in ("impressions", "clicks", "sessions", "impressions_recent")]
    names += [f"user_{name}" for name in ("click_rate", "like_rate", "comment_rate", "dwell_log", "click_rate_recent")]
    names += ["user_depth_log", "user_click_trend", "user_follow_count_log", "user_follow_focus", "user_topic_focus"]
    return names + ["user_is_new"] + [f"user_region_{region}" for region in range(REGIONS)]


TOPIC_NAMES = (
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
    "user_topic_taste",
)
"""The columns of `topic_table`. A lift is the log ratio to the user's own rate over all topics."""
CREATOR_NAMES = (
    "user_creator_is_known",
    "user_creator_impressions_log",
    "user_creator_clicks_log",
    "user_creator_click_lift",
    "user_creator_dwell_log",
)
"""The columns of `creator_table`."""


def user_inputs(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, len(user_names())]."""
    long = dict(zip(COUNTS, users.counts_long.T, strict=True))
    recent = dict(zip(COUNTS, users.counts_recent.T, strict=True))
    clicked = usual_click_rate(users, priors)
    clicked_recently = smoothed(recent["clicks"], recent["impressions"], clicked, priors.strength)
    by_topic = users.topic_counts.reshape(len(users), len(TOPIC_COUNTS), -1)[:, TOPIC_COUNTS.index("clicks")]
    columns = [
        np.log1p(long["impressions"]),
        np.log1p(long["clicks"]),
        np.log1p(long["sessions"]),
        np.log1p(recent["impressions"]),
        clicked,
        smoothed(long["likes"], long["clicks"], priors.like_rate, priors.pair_strength),
        smoothed(long["comments"], long["clicks"], priors.comment_rate, priors.strength),
        np.log(smoothed(long["dwell_s"], long["clicks"], priors.dwell_s, priors.pair_strength)),
        clicked_recently,
        np.log1p(long["impressions"] / np.maximum(long["sessions"], 1)),
        clicked_recently - clicked,
        np.log1p((users.follows >= 0).sum(axis=1)),
        (users.follow_topics**2).sum(axis=1),
        ((by_topic / np.maximum(long["clicks"], 1)[:, None]) ** 2).sum(axis=1),
        long["impressions"] == 0,
    ]
    out = np.empty((len(users), len(columns) + REGIONS), np.float32)
    for index, column in enumerate(columns):
        out[:, index] = column
    out[:, len(columns) :] = users.region[:, None] == np.arange(REGIONS)
    return out


def usual_click_rate(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m]: smoothed clicks per impression of each user, over all posts."""
    clicks, shown = users.counts_long[:, COUNTS.index("clicks")], users.counts_long[:, COUNTS.index("impressions")]
    return smoothed(clicks, shown, priors.click_rate, priors.strength)


def topic_table(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, topics, len(TOPIC_NAMES)]: each user's inputs for each topic."""
    long = {name: values[:, None] for name, values in zip(COUNTS, users.counts_long.T, strict=True)}
    by_kind = users.topic_counts.reshape(len(users), len(TOPIC_COUNTS), priors.topics)
    count = {name: by_kind[:, kind] for kind, name in enumerate(TOPIC_COUNTS)}
    clicked, strength = usual_click_rate(users, priors)[:, None], priors.pair_strength
    liked = smoothed(long["likes"], long["clicks"], priors.like_rate, strength)
    dwelt = smoothed(long["dwell_s"], long["clicks"], priors.dwell_s, strength)
    click_lift = np.log(smoothed(count["clicks"], count["impressions"], clicked, strength) / clicked)
    follow_lift = np.log(_follow_lift(users, priors))
    declared = (users.declared[:, :, None] == np.arange(priors.topics)).any(axis=1)
    columns = (
        np.log1p(count["impressions"]),
        np.log1p(count["clicks"]),
        click_lift,
        np.log(smoothed(count["likes"], count["clicks"], liked, strength) / liked),
        np.log(smoothed(count["dwell_s"], count["clicks"], dwelt, strength) / dwelt),
        count["impressions"] / np.maximum(long["impressions"], 1),
        count["clicks"] / np.maximum(long["clicks"], 1),
        users.follow_topics,
        follow_lift,
        declared,
        click_lift + follow_lift + declared,
    )
    out = np.empty((len(users), priors.topics, len(TOPIC_NAMES)), np.float32)
    for index, column in enumerate(columns):
        out[:, :, index] = column
    return out


def creator_table(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, slots + 1, len(CREATOR_NAMES)]: each user's inputs for each creator in `users.creators`; the last row
    is for all other creators."""
    slots = users.creators.shape[1]
    shown, clicks, dwell_s = users.creator_counts.reshape(len(users), len(CREATOR_COUNTS), slots).transpose(1, 0, 2)
    usual = usual_click_rate(users, priors)[:, None]
    out = np.zeros((len(users), slots + 1, len(CREATOR_NAMES)), np.float32)
    known = out[:, :slots]
    known[:, :, 0] = 1.0
    known[:, :, 1] = np.log1p(shown)
    known[:, :, 2] = np.log1p(clicks)
    known[:, :, 3] = np.log(smoothed(clicks, shown, usual, priors.pair_strength) / usual)
    known[:, :, 4] = np.log1p(dwell_s)
    return out


def _follow_lift(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, topics]: ratio of the user's share of follows in a topic to the mean share (1 = equal), smoothed."""
    follows = (users.follows >= 0).sum(axis=1)[:, None]
    usual = np.asarray(priors.follow_shares, np.float32)
    lift = (users.follow_topics * follows + FOLLOW_STRENGTH * usual) / ((follows + FOLLOW_STRENGTH) * usual)
    return np.asarray(lift, np.float32)
