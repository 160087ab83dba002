"""Prediction quality of a ranker on the randomised bucket: overall, by head, and for slices such as new users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import ObjectiveConfig
from feed_ranking.domain import COUNTS, STATS, Floats
from feed_ranking.evaluation.ranking_metrics import mean_ndcg
from feed_ranking.model.artifact import Bundle, Network, worth_s
from feed_ranking.model.inputs import Context, post_inputs, post_tower_inputs, ranker_inputs, user_tower_inputs
from feed_ranking.offline.samples import Sample
from infra.evaluation.figures import Figure
from infra.evaluation.resample import Bools, Resample, Rows
from infra.training.click_metrics import Array, auc, excess_log_loss_rows

NEW_CREATOR_DAYS = 7.0
HEAVY_USER_QUANTILE = 0.8


@dataclass(frozen=True)
class Truth:
    """The oracle's values for the same rows, all float64[n]: `p_click_shown` at the shown position, `p_like`,
    `p_comment` and `dwell_s` given a click, `worth_s` of an examined impression."""

    p_click_shown: Array
    p_like: Array
    p_comment: Array
    dwell_s: Array
    worth_s: Array


@dataclass(frozen=True)
class Prediction:
    """`heads` float32[n, 4] as served; `p_click_shown` float64[n]: p(click | examined) × learned examination."""

    heads: Floats
    p_click_shown: Array


def predict(bundle: Bundle, sample: Sample, ranker: str) -> Prediction:
    """Predict the rows of `sample` with the ranker `light` or `heavy`."""
    x = holdout_inputs(bundle, sample)
    network: Network = getattr(bundle, ranker)
    heads = network(np.ascontiguousarray(x[:, bundle.light_columns]) if ranker == "light" else x)
    examination = np.asarray(bundle.meta["examination"][ranker])
    return Prediction(heads, heads[:, 0] * examination[np.minimum(sample.position, len(examination) - 1)])


def holdout_inputs(bundle: Bundle, sample: Sample) -> Floats:
    """float32[n, ranker inputs]: the inputs that serving computes for these rows."""
    priors = bundle.priors
    item_side = post_inputs(sample.posts, priors)
    users = bundle.user_tower(user_tower_inputs(sample.users, priors))
    score = np.einsum("nd,nd->n", users[sample.slate_of], bundle.post_tower(post_tower_inputs(sample.posts, item_side)))
    when = Context(sample.request_ts, sample.depth, sample.creator_before)
    return ranker_inputs(sample.users, sample.posts, item_side, score, when, priors, sample.slate_of)


def slices(sample: Sample) -> dict[str, npt.NDArray[np.bool_]]:
    """bool[n] masks of slices on which models usually do worse or matter most."""
    shown = sample.users.counts_long[:, COUNTS.index("impressions")][sample.slate_of]
    age_days = sample.posts.stats[:, STATS.index("creator_age_days")]
    return {
        "new_users": shown == 0,
        "new_creators": age_days < NEW_CREATOR_DAYS,
        "heavy_users": shown >= np.quantile(shown, HEAVY_USER_QUANTILE),
    }


def holdout_figures(
    sample: Sample, truth: Truth, heavy: Prediction, light: Prediction, objective: ObjectiveConfig
) -> list[Figure]:
    """The figures, each with a 95% interval from resampling slates."""
    clicked = sample.clicked.astype(np.float64)
    excess = {
        name: excess_log_loss_rows(truth.p_click_shown, p)
        for name, p in (
            ("heavy", heavy.p_click_shown),
            ("light", light.p_click_shown),
            ("constant", np.full_like(clicked, clicked.mean())),
        )
    }

    figure = Resample.of(sample.slate_id).row_figure
    p = heavy.p_click_shown
    clicks = truth.p_click_shown

    def auc_among(chosen: Bools) -> Callable[[Rows], float]:
        return lambda r: auc(clicked[r[chosen[r]]], p[r[chosen[r]]])

    def ratio_of_head(head: int, true: Array) -> Callable[[Rows], float]:
        return lambda r: float((clicks[r] * heavy.heads[r, head]).sum() / (clicks[r] * true[r]).sum())

    rows = [
        figure("auc", "AUC of clicks on the randomised bucket", lambda r: auc(clicked[r], p[r]), ">= 0.6", ">= 0.75"),
        figure("auc_light", "AUC of the light ranker", lambda r: auc(clicked[r], light.p_click_shown[r])),
        figure("auc_oracle", "AUC of the true probabilities", lambda r: auc(clicked[r], clicks[r])),
    ]
    for name, chosen in slices(sample).items():
        if clicked[chosen].sum() >= 10:
            rows.append(
                figure(
                    f"auc_{name}",
                    f"the same among {name.replace('_', ' ')}",
                    auc_among(chosen),
                )
            )
    rows += [
        figure(
            "excess_log_loss",
            "remaining share of the avoidable log loss (0 = oracle, 1 = constant click rate)",
            lambda r: float(excess["heavy"][r].sum() / excess["constant"][r].sum()),
            "<= 0.8",
            "<= 0.4",
        ),
        figure(
            "excess_log_loss_light",
            "remaining share of the avoidable log loss, light ranker",
            lambda r: float(excess["light"][r].sum() / excess["constant"][r].sum()),
        ),
        figure("calibration_click", "predicted / true clicks", lambda r: float(p[r].sum() / clicks[r].sum())),
    ]
    for head, name, true in ((1, "like", truth.p_like), (2, "comment", truth.p_comment), (3, "dwell", truth.dwell_s)):
        rows.append(
            figure(
                f"calibration_{name}",
                f"the same for {name}, weighted by true clicks",
                ratio_of_head(head, true),
            )
        )
    score = worth_s(heavy.heads, objective)
    rows.append(
        figure(
            "ndcg",
            "NDCG of slates ordered by predicted value, with true values as gains",
            lambda r: mean_ndcg(sample.slate_id[r], score[r], truth.worth_s[r]),
        )
    )
    return rows
