"""Inputs of a post and its creator. They depend on no user and no request time, so the snapshot stores them."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import REGION_UTC_OFFSET_H, STATS, Floats, PostFeatures
from feed_ranking.model.inputs.smoothing import Priors, smoothed

REGIONS, MEDIA = len(REGION_UTC_OFFSET_H), 3


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


def post_inputs(posts: PostFeatures, priors: Priors) -> Floats:
    """float32[n, len(creator_names()) + len(post_names(topics))]: the inputs of n posts and their creators."""
    stat = {name: posts.stats[:, column] for column, name in enumerate(STATS)}

    def rates(of: str, towards: tuple[npt.ArrayLike, ...], strength: float) -> tuple[Floats, ...]:
        clicks = stat[f"{of}_clicks"]
        return (
            smoothed(clicks, stat[f"{of}_impressions"], towards[0], strength),
            *(
                smoothed(stat[f"{of}_{name}"], clicks, prior, priors.pair_strength)
                for name, prior in zip(("likes", "comments", "dwell_s"), towards[1:], strict=True)
            ),
        )

    everyone = (priors.click_rate, priors.like_rate, priors.comment_rate, priors.dwell_s)
    creator = rates("creator", everyone, priors.strength * 3)
    creator_recent = smoothed(
        stat["creator_clicks_recent"], stat["creator_impressions_recent"], creator[0], priors.strength * 3
    )
    post = rates("post", creator, priors.strength)
    post_recent = smoothed(stat["post_clicks_recent"], stat["post_impressions_recent"], post[0], priors.strength)
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
