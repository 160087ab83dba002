"""The value of slates by the oracle and by a random log, for `lab evaluate`, sweeps and drills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from feed_ranking.config import FeedConfig, ObjectiveConfig
from feed_ranking.domain import AD, EMPTY, Ids
from feed_ranking.evaluation.holdout import NEW_CREATOR_DAYS
from feed_ranking.world.history import Popularity, log_day
from feed_ranking.world.oracle import Oracle
from feed_ranking.world.shift import shifted
from feed_ranking.world.truth import make_world
from infra.columns import DAY_S, HOUR_S
from infra.evaluation.experiment import Play, Score, per_case
from infra.simulation.streams import end_ts
from infra.training.click_metrics import Array

SLATE = 20
"""posts per slate in comparisons"""
LOG_DEPTH = 50
ONE_PER_CLICK = ObjectiveConfig(click_weight=1.0, dwell_weight=0.0, like_weight=0.0, comment_weight=0.0)
DWELL_ONLY = ObjectiveConfig(click_weight=0.0, dwell_weight=1.0, like_weight=0.0, comment_weight=0.0)


class Judge:
    """Values responses as of the end of the history: by the oracle, and by the random log of the next hours.

    The random log covers a day after all features and training data, with every slate drawn uniformly at random. Posts
    published live are not part of the history and have no true value, so their positions count as empty.
    """

    def __init__(self, config: FeedConfig) -> None:
        self.config = config
        day = config.world.days
        self.world = make_world(replace(config.world, days=day + 1, randomised_share=1.0))
        self.oracle = Oracle(self.world, config.objective)
        self.now_ts = end_ts(config.world)
        log = log_day(self.world, day, Popularity.none(self.world)).to_pandas()
        self._log = log[(log["post_id"] >= 0) & (log["post_id"] < self._published_before(self.now_ts))]

    def in_shifted_world(self, size: float) -> Judge:
        """A judge of the same cases in the world after a shift of `size` (`world.shift`)."""
        found = copy(self)
        found.oracle = Oracle(shifted(self.world, size), self.config.objective)
        return found

    def cases(self, count: int) -> Ids:
        """int64[count]: the next distinct users after the end of the history."""
        return self._log.sort_values("request_ts", kind="stable")["user_id"].unique()[:count].astype(np.int64)

    def alive(self) -> Ids:
        """The ids of all live posts."""
        first = self._published_before(self.now_ts - self.config.world.post_life_h * HOUR_S)
        return np.arange(first, self._published_before(self.now_ts))

    def known(self, ids: Ids) -> Ids:
        """Replace the ids of posts that are newer than the history with `EMPTY`. Other post ids and `AD` stay."""
        return np.where(ids < self._published_before(self.now_ts), ids, EMPTY)

    def value(self, users: Ids, slates: Sequence[Ids], of: Oracle | None = None) -> Array:
        """float64[n]: the true values of the slates of n users: post ids, `AD` for an ad; lengths may differ."""
        width = max((len(slate) for slate in slates), default=0)
        padded = np.full((len(slates), width), EMPTY, np.int64)
        for row, slate in enumerate(slates):
            padded[row, : len(slate)] = slate
        return (of or self.oracle).slate_value(users, padded, self.now_ts)

    def best(self, user: int, pool: Ids) -> Ids:
        """The oracle's slate from the post ids of `pool`, under the same creator cap."""
        return self.oracle.best_slate(user, pool, self.now_ts, SLATE, self.config.rerank.creator_cap)

    def question(self, case: int) -> dict[str, Any]:
        """The body of a request for one case, without exploration and ads, like all quality comparisons."""
        return {"user_id": int(case), "k": SLATE, "seed": int(case), "knobs": {"epsilon": 0.0, "ads": 0}}

    def captured_by(self, cases: Sequence[int], answers: Sequence[Mapping[str, Any]]) -> Score:
        """The value of HTTP responses: the gain over a random slate of all live posts, as a share of the gain of the
        oracle's slate."""
        users, everywhere = np.asarray(cases, np.int64), self.alive()
        rng = np.random.default_rng(self.config.world.seed)
        shown = [[AD if item["post_id"] is None else item["post_id"] for item in answer["slate"]] for answer in answers]
        slates = [self.known(np.array(slate, np.int64)) for slate in shown]
        random = self.value(users, [rng.permutation(everywhere)[:SLATE] for _ in users])
        oracle = self.value(users, [self.best(user, everywhere) for user in users.tolist()])
        text = "gain over a random slate of all posts, as a share of the oracle's gain"
        return Score("captured_value", text, "", self.value(users, slates) - random, oracle - random)

    def trial(self, cases: Sequence[int], baseline: Sequence[Play]) -> FeedTrial:
        users = np.asarray(cases, np.int64)
        everywhere, rng = self.alive(), np.random.default_rng(self.config.world.seed)
        pools = [pool[self.known(pool) >= 0] for pool in (play.answer.pool for play in baseline)]
        asked = list(zip(users.tolist(), pools, strict=True))
        return FeedTrial(
            self,
            users,
            pools,
            oracle=self.value(users, [self.best(user, pool) for user, pool in asked]),
            oracle_everywhere=[self.best(user, everywhere) for user in users.tolist()],
            random=self.value(users, [rng.permutation(pool)[:SLATE] for pool in pools]),
            default=self.value(users, [self.known(play.answer.slate) for play in baseline]),
            reactions=self._reactions(users),
        )

    def _published_before(self, at_ts: float) -> int:
        """Number of posts published before `at_ts`. Post ids ascend with the publication time."""
        return int(np.searchsorted(self.world.posts.published_ts, at_ts))

    def _reactions(self, users: Ids) -> list[tuple[Ids, Array]]:
        """Per user, the posts seen on the next random slate, and the observed value of each impression."""
        weigh = self.config.objective
        log = self._log.assign(
            worth_s=weigh.click_weight * self._log["clicked"]
            + weigh.dwell_weight * self._log["dwell_s"]
            + weigh.like_weight * self._log["liked"]
            + weigh.comment_weight * self._log["commented"]
        )
        seen = {user: (part["post_id"].to_numpy(), part["worth_s"].to_numpy()) for user, part in log.groupby("user_id")}
        return [seen[user] for user in users.tolist()]


@dataclass(frozen=True)
class FeedTrial:
    """A comparison on n users. `oracle`, `random` and `default` float64[n] are the values of three slates: the best and
    a random slate from the baseline's pool, and the baseline's own slate."""

    judge: Judge
    users: Ids
    pools: Sequence[Ids]
    oracle: Array
    oracle_everywhere: Sequence[Ids]
    random: Array
    default: Array
    reactions: Sequence[tuple[Ids, Array]]

    def captured(self, value: Array, id: str, text: str) -> Score:
        """The gain over a random slate as a share of the oracle's gain, for slates of `value` float64[n]."""
        return Score(id, text, "", value - self.random, self.oracle - self.random)

    def scores(self, plays: Sequence[Play]) -> list[Score]:
        """Value and composition of the slates."""
        judge, world = self.judge, self.judge.world
        slates = [judge.known(play.answer.slate) for play in plays]
        posts = [slate[slate >= 0] for slate in slates]
        value = judge.value(self.users, slates)
        clicks = judge.value(self.users, slates, replace(judge.oracle, objective=ONE_PER_CLICK))
        dwell = judge.value(self.users, slates, replace(judge.oracle, objective=DWELL_ONLY))
        joined, published = world.creators.joined_ts, world.posts.published_ts
        creators = [world.posts.creator[slate] for slate in posts]
        shown = np.array([max(len(slate), 1) for slate in posts], np.float64)
        age_h = np.array([((judge.now_ts - published[slate]) / HOUR_S).sum() for slate in posts])
        is_new = [judge.now_ts - joined[slate] < NEW_CREATOR_DAYS * DAY_S for slate in creators]
        matched = [
            np.isin(logged, play.answer.ranking[:LOG_DEPTH])
            for (logged, _), play in zip(self.reactions, plays, strict=True)
        ]
        earned = [worth[hit].sum() for (_, worth), hit in zip(self.reactions, matched, strict=True)]
        return [
            self.captured(value, "captured_value", "gain over a random slate, as a share of the oracle's gain"),
            per_case("value_s", "expected attention on a slate", "s", value),
            Score(
                "value_against_default",
                "change in value relative to the defaults",
                "%",
                100 * (value - self.default),
                self.default,
            ),
            Score(
                "log_value_s",
                f"attention per impression in the next day's random log, on the first {LOG_DEPTH} ranked posts",
                "s",
                np.array(earned),
                np.array([hit.sum() for hit in matched], np.float64),
            ),
            per_case("clicks", "expected clicks on a slate", "", clicks),
            Score("dwell_per_click_s", "expected dwell per click", "s", dwell, clicks),
            per_case("creators", "distinct creators on a slate", "", [len(np.unique(ids)) for ids in creators]),
            Score("age_h", "mean age of the shown posts", "h", age_h, shown, more_is_better=False),
            per_case("new_creator_posts", "posts by new creators on a slate", "", [ids.sum() for ids in is_new]),
            per_case("ads", "ads on a slate", "", [(slate == AD).sum() for slate in slates]),
        ]

    def ladder(self) -> list[Score]:
        """Reference points for the pipeline's figures: another random slate, and the loss of retrieval."""
        judge, rng = self.judge, np.random.default_rng(self.judge.config.world.seed + 1)
        again = judge.value(self.users, [rng.permutation(pool)[:SLATE] for pool in self.pools])
        everything = judge.value(self.users, self.oracle_everywhere)
        return [
            self.captured(
                again, "captured_value_random", "another random slate of the pool: gain as a share of the oracle's gain"
            ),
            per_case("oracle_value_s", "expected attention on the oracle's slate from the same pool", "s", self.oracle),
            Score(
                "retrieval_loss",
                "share of the oracle's value that is lost by choosing from the pool instead of from all posts",
                "",
                everything - self.oracle,
                everything,
            ),
        ]

    def recall(self, plays: Sequence[Play]) -> list[Score]:
        """Recall of the oracle's slate of all posts, for each source and for their union."""
        found: dict[str, list[Ids]] = {"pool": [play.answer.pool for play in plays]}
        for name in plays[0].answer.found:
            found[name] = [play.answer.found[name] for play in plays]

        def share(name: str, rows: list[Ids]) -> Score:
            text = (
                f"share of the oracle's best {SLATE} of all posts that {name} {'holds' if name == 'pool' else 'finds'}"
            )
            held = [
                np.isin(best[best >= 0], ids).mean() for best, ids in zip(self.oracle_everywhere, rows, strict=True)
            ]
            return per_case(f"recall_{name}", text, "", held)

        return [share(name, rows) for name, rows in found.items()]
