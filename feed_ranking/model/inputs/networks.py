"""The inputs of each network, combined from the inputs of users, posts and pairs."""

from __future__ import annotations

from functools import cache

import numpy as np

from feed_ranking.domain import REGION_UTC_OFFSET_H, Floats, PostFeatures, UserFeatures
from feed_ranking.model.inputs.pairs import PAIR_NAMES, Context, Rows, fill_pairs
from feed_ranking.model.inputs.posts import item_names
from feed_ranking.model.inputs.smoothing import Priors
from feed_ranking.model.inputs.users import TOPIC_NAMES, topic_table, user_inputs, user_names

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
"""The inputs of the light ranker."""
TOWER_TOPIC_NAMES = ("user_topic_click_lift", "user_topic_follow_lift", "user_topic_declared")
"""The per-topic inputs of the user tower."""


@cache
def ranker_names(topics: int) -> tuple[str, ...]:
    """The columns of `ranker_inputs`, in order: user, post and creator, pair in its context."""
    return (*user_names(), *item_names(topics), *PAIR_NAMES)


def ranker_inputs(
    users: UserFeatures,
    posts: PostFeatures,
    item_side: Floats,
    tower_score: Floats,
    context: Context,
    priors: Priors,
    user_rows: Rows | None = None,
    topics: Floats | None = None,
) -> Floats:
    """float32[n, len(ranker_names(topics))] for n posts.

    `users` holds one user, or m users; then `user_rows` int[n] is the row of the user of each post. `item_side` is
    `post_inputs(posts)`, `tower_score` float32[n] the dot product of the two towers' outputs. `topics` is the
    `topic_table` of the users, if the caller has it.
    """
    # rows of length one: columns of a single user are computed once and broadcast
    rows = np.zeros(1, np.intp) if user_rows is None else user_rows
    asker = user_inputs(users, priors)
    first_item, first_pair = asker.shape[1], asker.shape[1] + item_side.shape[1]
    out = np.empty((len(posts), first_pair + len(PAIR_NAMES)), np.float32)
    out[:, :first_item] = asker[rows]
    out[:, first_item:first_pair] = item_side
    table = topic_table(users, priors) if topics is None else topics
    fill_pairs(out[:, first_pair:], users, posts, item_side, tower_score, context, priors, rows, table)
    return out


def user_tower_inputs(users: UserFeatures, priors: Priors, topics: Floats | None = None) -> Floats:
    """float32[m, …]: the amount of history, and per topic the clicks, follows and declared interest. `topics` as in
    `ranker_inputs`."""
    table = topic_table(users, priors) if topics is None else topics
    per_topic = [table[:, :, TOPIC_NAMES.index(name)] for name in TOWER_TOPIC_NAMES]
    region = users.region[:, None] == np.arange(len(REGION_UTC_OFFSET_H))
    return np.concatenate([np.log1p(users.counts_long[:, :2]), *per_topic, region], axis=1).astype(np.float32)


def post_tower_inputs(posts: PostFeatures, item_side: Floats) -> Floats:
    """float32[n, …]: the item side and the creator's region. The age is excluded, because the embedding of an indexed
    post must not change."""
    region = posts.creator_region[:, None] == np.arange(len(REGION_UTC_OFFSET_H))
    return np.concatenate([item_side, region], axis=1).astype(np.float32)
