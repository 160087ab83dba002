"""Days of a feed without services: a model ranks all live posts for the sessions of a day, and users react.

Features are computed by the functions of the build and of the worker, slates are drawn by the slate policy of serving,
and reactions come from the laws of the world. One day has one request time, and one slate per session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feed_ranking.config import FeedConfig, RerankConfig
from feed_ranking.domain import Floats, Ids, PostFeatures, UserFeatures
from feed_ranking.evaluation.live.recompute import FeatureRecount
from feed_ranking.events.history import EventLog, PublicCatalogue
from feed_ranking.features.aggregates import activity_at
from feed_ranking.features.views import default_user, users_from_frame
from feed_ranking.model.artifact import worth_s
from feed_ranking.model.inputs import Context, Priors, post_inputs, post_tower_inputs, ranker_inputs, user_tower_inputs
from feed_ranking.model.slate_policy import draw_slate, is_by_new_creator
from feed_ranking.offline.feature_tables import SnapshotTimes, user_profile
from feed_ranking.offline.generate import write_catalogue
from feed_ranking.offline.samples import Sample
from feed_ranking.world.history import LABEL_DELAY_S, SECONDS_PER_POSITION
from feed_ranking.world.oracle import Oracle, creators_before
from feed_ranking.world.truth import World, make_world
from feed_ranking.world.visits import Screen, draw_visits
from infra.columns import DAY_S, HOUR_S, timestamps
from infra.simulation.streams import end_ts, stream

SLATE = 20
Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Model:
    """Towers and heavy ranker as functions on arrays, with what they need. `examination` float[positions]."""

    user_tower: Callable[[Floats], Floats]
    post_tower: Callable[[Floats], Floats]
    heavy: Callable[[Floats], Floats]
    priors: Priors
    examination: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Shown:
    """Slates of m users: `slates` int64[m, SLATE] post ids, `rows` their rows in `posts`, `p_click` float64[m, SLATE]
    if examined, and whether each slate `is_random`."""

    users: UserFeatures
    posts: PostFeatures
    rows: Ids
    slates: Ids
    p_click: Array
    is_random: Bools


@dataclass(frozen=True)
class Day:
    """The impressions that the users reached, as a training sample and as rows of the log. float64[n]: the predicted
    probability of a click where the post was shown; bool[n]: whether the slate was random."""

    sample: Sample
    log: pa.Table
    p_click_shown: Array
    is_random: Bools


class SimulatedFeed:
    """The world after the generated history, for a number of `days`."""

    def __init__(self, config: FeedConfig, days: int) -> None:
        self.config = config
        self.world: World = make_world(replace(config.world, days=config.world.days + days))
        self.oracle = Oracle(self.world, config.objective)
        with TemporaryDirectory() as folder:
            write_catalogue(self.world, Path(folder))
            self.catalogue = PublicCatalogue.read(Path(folder))

    def noon_ts(self, day: int) -> float:
        """The request time of a day; day 0 follows the generated history."""
        return end_ts(self.config.world) + (day + 0.5) * DAY_S

    def day(self, model: Model, log: EventLog, day: int, sessions: int, rules: RerankConfig) -> Day:
        """One day of `sessions` by users drawn by their activity, with the randomised share of `rules`."""
        seed, t = self.config.world.seed, self.noon_ts(day)
        activity = self.world.people.activity
        users = stream(seed, "simulated", day).choice(len(activity), sessions, p=activity / activity.sum())
        shown = self.show(model, log, t, users.astype(np.int64), rules, seed=day + 1)
        creator, shape = self.world.posts.creator[shown.slates], shown.slates.shape
        position, before = np.broadcast_to(np.arange(SLATE), shape), creators_before(creator)
        screen = Screen(
            users, self.oracle.truth_of(shown.slates), np.zeros(shape, bool), np.full(sessions, t), position, before
        )
        came = draw_visits(self.oracle, stream(seed, "simulated", day, 1), screen)
        row, place = np.nonzero(came.reached)
        slate_id = 10**12 + day * sessions + np.arange(sessions)
        picked: dict[str, Any] = {
            "slate_id": slate_id[row],
            "user_id": users[row].astype(np.int64),
            "post_id": shown.slates[row, place],
            "clicked": came.clicked[row, place],
            "liked": came.liked[row, place],
            "commented": came.commented[row, place],
            "dwell_s": came.dwell_s[row, place].astype(np.float32),
        }
        reactions = ("clicked", "liked", "commented")
        sample = Sample(
            users=shown.users,
            posts=shown.posts.take(shown.rows[row, place]),
            slate_of=row.astype(np.int64),
            position=place.astype(np.int64),
            depth=np.zeros(len(row), np.int64),
            creator_before=before[row, place],
            request_ts=np.full(len(row), t),
            weight=np.ones(len(row), np.float32),
            **picked | {name: picked[name].astype(np.float32) for name in reactions},
        )
        label_ts = t + SECONDS_PER_POSITION * place + LABEL_DELAY_S
        table = pa.table({**picked, "session_id": picked["slate_id"], "label_ts": timestamps(label_ts)})
        seen = model.examination[np.minimum(place, len(model.examination) - 1)]
        return Day(sample, table, shown.p_click[row, place] * seen, shown.is_random[row])

    def captured(self, model: Model, log: EventLog, day: int, users: Ids) -> float:
        """The true gain of the model's slates over random slates of all live posts, as a share of the oracle's gain."""
        t = self.noon_ts(day)
        rules = replace(self.config.rerank, epsilon=0.0, ads=0, randomised_share=0.0)
        slates = self.show(model, log, t, users, rules, seed=0).slates
        pool, rng = self.alive(t), np.random.default_rng(self.config.world.seed)
        random = np.stack([rng.permutation(pool)[:SLATE] for _ in users])
        best = np.stack(
            [self.oracle.best_slate(user, pool, t, SLATE, self.config.rerank.creator_cap) for user in users.tolist()]
        )
        value, least, most = (self.oracle.slate_value(users, one, t).sum() for one in (slates, random, best))
        return float((value - least) / (most - least))

    def show(self, model: Model, log: EventLog, t: float, users: Ids, rules: RerankConfig, seed: int) -> Shown:
        """The slates of `users` at `t`, from all live posts, with the features as of `t`."""
        rng, pool = np.random.default_rng([seed, 2]), self.alive(t)
        features = self._users(log, t, users)
        posts = FeatureRecount(log, self.catalogue, self.config, t, {}).posts(pool, t)
        item_side = post_inputs(posts, model.priors)
        vectors = model.post_tower(post_tower_inputs(posts, item_side))
        embeddings = model.user_tower(user_tower_inputs(features, model.priors))
        context, age_h = Context(t, 0, np.zeros(len(pool), np.int64)), (t - posts.published_ts) / HOUR_S
        is_random = rng.random(len(users)) < rules.randomised_share
        rows, p_click = np.zeros((len(users), SLATE), np.int64), np.zeros((len(users), SLATE))
        for number in range(len(users)):
            user = features.take(np.array([number]))
            x = ranker_inputs(user, posts, item_side, vectors @ embeddings[number], context, model.priors)
            heads = model.heavy(x)
            drawn = draw_slate(
                worth_s(heads, self.config.objective),
                posts.creator_id,
                age_h,
                is_by_new_creator(x, self.config.world.topics),
                SLATE,
                rules,
                seed * 10**6 + number,
                uniform=bool(is_random[number]),
            )
            rows[number], p_click[number] = drawn.chosen, heads[drawn.chosen, 0]
        return Shown(features, posts, rows, pool[rows], p_click, is_random)

    def alive(self, t: float) -> Ids:
        """The ids of all posts that may be shown at `t`."""
        published = self.world.posts.published_ts
        return np.flatnonzero((published < t) & (published >= t - self.config.world.post_life_h * HOUR_S))

    def _users(self, log: EventLog, t: float, users: Ids) -> UserFeatures:
        ids, topics = np.unique(users), self.config.world.topics
        times = SnapshotTimes(np.array([t]), np.array([t]))
        (profiles,) = user_profile(self.catalogue, self.config, times)
        profile = profiles.to_pandas().set_index("user_id").loc[ids]
        counted = activity_at(log, self.config, t, ids).to_pandas().set_index("user_id").reindex(ids)
        frame = counted.drop(columns="feature_ts").join(profile.drop(columns="feature_ts"))
        default = default_user(topics, self.config.features.creator_slots)
        return users_from_frame(frame, default).take(np.searchsorted(ids, users))
