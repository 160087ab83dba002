"""Step `evaluate`: measures the challenger on the log and against the oracle, and decides whether it becomes champion.

Clicks under the logging policy are biased towards its choices. The evaluation therefore uses the randomised bucket, in
which every post of the pool had the same probability. The oracle measures regret, which no log shows. `Judge` values
the slates that a serving pipeline returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from feed_ranking.config import FeedConfig, ObjectiveConfig
from feed_ranking.domain import AD, EMPTY, Ids
from feed_ranking.evaluation.drift import compared
from feed_ranking.evaluation.holdout import (
    NEW_CREATOR_DAYS,
    Prediction,
    Truth,
    holdout_figures,
    holdout_inputs,
    predict,
)
from feed_ranking.model.artifact import Bundle, load_bundle
from feed_ranking.model.inputs import ranker_names
from feed_ranking.offline.samples import FRESH, Sample
from feed_ranking.world.history import Popularity, log_day
from feed_ranking.world.oracle import Oracle
from feed_ranking.world.truth import make_world
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, HOUR_S
from infra.evaluation.experiment import Play, Score, per_case
from infra.evaluation.figures import write_figures
from infra.evaluation.gate import Comparison, judge_challenger
from infra.registry.mlflow_registry import MlflowRegistry
from infra.simulation.streams import end_ts
from infra.telemetry.drift.bins import Bins
from infra.training.click_metrics import Array

SLATE = 20
"""posts per slate in comparisons"""
LOG_DEPTH = 50
ONE_PER_CLICK = ObjectiveConfig(click_weight=1.0, dwell_weight=0.0, like_weight=0.0, comment_weight=0.0)
DWELL_ONLY = ObjectiveConfig(click_weight=0.0, dwell_weight=1.0, like_weight=0.0, comment_weight=0.0)


def gate(context: StepContext) -> Facts:
    """Measure the challenger; make it champion unless it is worse than the champion or than a constant click rate.

    Raises `GateRefused` (exit code 3) otherwise. Writes `figures.json`.
    """
    config: FeedConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    challenger = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    sample = Sample.read(context.inputs["sample"] / "holdout.npz")
    context.report(0.1, f"{len(sample):,} impressions of the randomised bucket")
    heavy, light = (predict(challenger, sample, ranker) for ranker in ("heavy", "light"))
    context.report(0.3, "computing the oracle's values")
    figures = holdout_figures(sample, truth_of(config, sample), heavy, light, config.objective)
    write_figures(context.out, figures)
    bins_of(challenger, sample, heavy).write(context.out)

    context.report(0.8, "comparing with the champion")
    models = context.settings.design_root(context.design.name) / "models"
    registry = MlflowRegistry(context.settings)
    fresh = fresh_rows(context.inputs["sample"] / FRESH, challenger)
    verdict = judge_challenger(
        registered, comparison_on(sample), heavy.p_click_shown, registry, models, context.record, fresh
    )
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {
        "version": registered["version"],
        "gate": verdict,
        "auc": by_id["auc"],
        "excess_log_loss": by_id["excess_log_loss"],
    }


def fresh_rows(file: Path, challenger: Bundle) -> tuple[Comparison, Array] | None:
    """The comparison on the randomised bucket of the live log, with the challenger's predictions."""
    if not file.exists():
        return None
    sample = Sample.read(file)
    return comparison_on(sample), predict(challenger, sample, "heavy").p_click_shown


def bins_of(challenger: Bundle, sample: Sample, heavy: Prediction) -> Bins:
    """Bins of the ranker's inputs and of its click probability, for the drift monitor."""
    names, inputs = ranker_names(challenger.priors.topics), holdout_inputs(challenger, sample)
    return Bins.of(compared(names, inputs, heavy.heads[:, 0]))


def truth_of(config: FeedConfig, sample: Sample) -> Truth:
    oracle = Oracle(make_world(config.world), config.objective)
    shown = (sample.user_id, sample.post_id, sample.request_ts)
    reaction = oracle.reaction(*shown, sample.creator_before)
    return Truth(
        p_click_shown=oracle.p_click_shown(*shown, sample.position, sample.creator_before),
        p_like=reaction.p_like,
        p_comment=reaction.p_comment,
        dwell_s=reaction.dwell_s,
        worth_s=reaction.value_s(config.objective),
    )


def comparison_on(sample: Sample) -> Comparison:
    """The gate's comparison on these impressions, grouped by slate."""

    def predict_with(path: Path, digest: str) -> Array:
        return predict(load_bundle(path, digest), sample, "heavy").p_click_shown

    return Comparison(sample.clicked.astype(np.float64), sample.slate_id, predict_with, more_rows="rows")


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
