"""The inputs of the light ranker alone.

A request computes them for all its candidates, and `ranker_inputs` only for those that pass the cut. The values are the
same to the last bit: training takes the columns of `ranker_inputs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from feed_ranking.domain import REGION_UTC_OFFSET_H, STATS, Floats, Ids, Times, UserFeatures
from feed_ranking.model.inputs.networks import LIGHT_NAMES
from feed_ranking.model.inputs.pairs import Context, place_of
from feed_ranking.model.inputs.posts import item_names
from feed_ranking.model.inputs.smoothing import Priors
from feed_ranking.model.inputs.users import TOPIC_NAMES, topic_table, usual_click_rate

CUT_NAMES = ("post_worth_log", "creator_age_log")
"""What the cut reads of a post besides the inputs of the light ranker: its popularity, and the age of its creator."""
FIRST_HEAT = STATS.index("heat_0")


@dataclass(frozen=True)
class LightPosts:
    """n posts: `creator_id` and `topic` int64[n], `published_ts` float64[n], `side` float32[n, …] (`light_side`)."""

    creator_id: Ids
    topic: Ids
    published_ts: Times
    side: Floats


@cache
def side_names(topics: int) -> tuple[str, ...]:
    """The columns of `light_side`, in order."""
    read = {*LIGHT_NAMES, *CUT_NAMES}
    own = tuple(name for name in item_names(topics) if name in read)
    return own + tuple(f"heat_{region}" for region in range(len(REGION_UTC_OFFSET_H)))


def light_side(stats: Floats, item_side: Floats, topics: int) -> Floats:
    """float32[n, len(side_names(topics))]: the columns of `stats` and `item_side` that this module reads, side by side,
    so that a request gathers a short row for each candidate."""
    names = item_names(topics)
    own = [names.index(name) for name in side_names(topics) if name in names]
    heat = stats[:, FIRST_HEAT : FIRST_HEAT + len(REGION_UTC_OFFSET_H)]
    return np.concatenate([item_side[:, own], heat], axis=1).astype(np.float32)


def light_inputs(
    user: UserFeatures,
    posts: LightPosts,
    tower_score: Floats,
    context: Context,
    priors: Priors,
    topics: Floats | None = None,
) -> Floats:
    """float32[n, len(LIGHT_NAMES)] for one user and n posts; `tower_score` float32[n] and `topics` as in
    `ranker_inputs`."""
    side = dict(zip(side_names(priors.topics), posts.side.T, strict=True))
    table = topic_table(user, priors) if topics is None else topics
    by_topic = dict(zip(TOPIC_NAMES, table[0].T, strict=True))
    age_h = np.maximum(np.asarray(context.now_ts, np.float64) / 3600 - posts.published_ts / 3600, 0.0)
    rows = np.zeros(1, np.intp)
    computed = {
        "user_click_rate": usual_click_rate(user, priors)[0],
        "user_creator_follows": place_of(user.follows, posts.creator_id, rows) >= 0,
        "user_creator_seen_in_session": context.creator_before,
        "context_post_age_log": np.log1p(age_h),
        "retrieval_tower_score": tower_score,
        "retrieval_heat_here_log": np.log1p(side[f"heat_{int(user.region[0])}"]),
    }
    out = np.empty((len(posts.side), len(LIGHT_NAMES)), np.float32)
    for column, name in enumerate(LIGHT_NAMES):
        if name in computed:
            out[:, column] = computed[name]
        elif name in by_topic:
            out[:, column] = by_topic[name][posts.topic]
        else:
            out[:, column] = side[name]
    return out
