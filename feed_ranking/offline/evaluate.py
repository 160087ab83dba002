"""Step `evaluate`: how good is the new model, against the log and against the truth, and may it be released?

Clicks under the ordinary policy say what the old feed liked to show; so the log is read in its randomised bucket,
where every post of the pool had the same chance. The oracle adds what no log can: the value that was missed. What whole
slates are worth is asked of a pipeline that serves; `Judge` answers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feed_ranking.bundle import load_bundle
from feed_ranking.config import FeedConfig
from feed_ranking.offline.dataset import Sample
from feed_ranking.offline.holdout import Prediction, Truth, holdout_figures, predict
from feed_ranking.offline.metrics import interval, log_loss_rows
from feed_ranking.world.oracle import EMPTY, Oracle
from feed_ranking.world.streams import HOUR_S, end_ts
from feed_ranking.world.truth import make_world
from infra.errors import BudgetBroken, CorruptArtifact
from infra.figures import write_figures
from infra.pipeline.steps import Facts, StepContext
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion


class GateRefused(BudgetBroken):
    """The new model is not good enough to be served. The old champion stays."""


def gate(context: StepContext) -> Facts:
    """Measure the challenger; make it champion unless it is worse than the champion or than knowing nothing.

    Raises `GateRefused` (exit code 3) otherwise. Writes `figures.json`.
    """
    config: FeedConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    challenger = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    sample = Sample.read(context.inputs["sample"] / "holdout.npz")
    context.report(0.1, f"{len(sample):,} impressions of the randomised bucket")
    heavy, light = (predict(challenger, sample, ranker) for ranker in ("heavy", "light"))
    context.report(0.3, "asking the oracle")
    figures = holdout_figures(sample, truth_of(config, sample), heavy, light, config.objective)
    write_figures(context.out, figures)

    context.report(0.8, "comparing with the champion")
    registry = MlflowRegistry(context.settings)
    name, version = registered["name"], registered["version"]
    registry.set_alias(name, "challenger", version)
    champion = registry.by_alias(name, "champion")
    models = context.settings.design_root(context.design.name) / "models"
    verdict = check_gate(sample, heavy, champion, registry, models)
    registry.set_alias(name, "champion", version)
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {"version": version, "gate": verdict, "auc": by_id["auc"], "excess_log_loss": by_id["excess_log_loss"]}


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


def check_gate(
    sample: Sample,
    predicted: Prediction,
    champion: ModelVersion | None,
    registry: MlflowRegistry,
    models: Path,
) -> str:
    """Raise `GateRefused` if the challenger is clearly worse; otherwise say in a few words why it passes."""
    clicked = sample.clicked.astype(np.float64)
    loss = log_loss_rows(clicked, predicted.p_click_shown)
    constant = log_loss_rows(clicked, np.full_like(clicked, clicked.mean()))
    low, high = interval(sample.slate_id, lambda rows: float((loss - constant)[rows].mean()))
    if high >= 0:
        raise GateRefused(
            f"the model is not better than one click rate for all: log loss differs by {low:+.5f} to {high:+.5f}",
            hint="look at the training loss; more data (the knob rows) or epochs may help",
        )
    if champion is None:
        return "first model, better than one rate for all"
    try:
        old = load_bundle(registry.fetch(champion, models), champion.digest)
        before = log_loss_rows(clicked, predict(old, sample, "heavy").p_click_shown)
    except (CorruptArtifact, ValueError, IndexError, KeyError) as exc:
        return f"the champion cannot be compared ({type(exc).__name__}); better than one rate for all"
    low, high = interval(sample.slate_id, lambda rows: float((loss - before)[rows].mean()))
    if low > 0:
        raise GateRefused(
            f"worse than champion {champion.version}: log loss differs by {low:+.5f} to {high:+.5f}",
            hint="the champion stays; look at what changed in the data or the configuration",
        )
    return f"not worse than champion {champion.version} ({low:+.5f} to {high:+.5f})"


class Judge:
    """Says what slates are worth at the end of the history, in seconds of attention, and what the best would be."""

    def __init__(self, config: FeedConfig) -> None:
        self._config = config
        self._oracle = Oracle(make_world(config.world), config.objective)
        self.now_ts = end_ts(config.world)

    def alive(self) -> npt.NDArray[np.int64]:
        """The ids of all posts that may be shown."""
        published = self._oracle.world.posts.published_ts
        life_s = self._config.world.post_life_h * HOUR_S
        return np.flatnonzero((published < self.now_ts) & (published >= self.now_ts - life_s))

    def best(self, user: int, pool: npt.NDArray[np.int64], k: int, creator_cap: int) -> npt.NDArray[np.int64]:
        """The oracle's slate int64[k] from these post ids, under the same rule."""
        return self._oracle.best_slate(user, pool, self.now_ts, k, creator_cap)

    def value(self, users: npt.NDArray[np.int64], slates: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
        """float64[n] for n users with a slate each: post ids, -2 for an ad; slates may differ in length."""
        width = max((len(slate) for slate in slates), default=0)
        padded = np.full((len(slates), width), EMPTY, np.int64)
        for row, slate in enumerate(slates):
            padded[row, : len(slate)] = slate
        return self._oracle.slate_value(users, padded, self.now_ts)
