"""`lab candidates feed_ranking`: what the logged candidates lack of the best posts of all.

Offline evaluation runs the pipeline as it is configured. A service may take shortcuts that the configuration does not
show: an index that probes too little, a cut that is too deep, a stale cache. For a sample of the logged predictions,
this module ranks all posts that were live at the time of the request with the logged model, and looks for the best of
them among the logged candidates. It also applies the configured cut to all of these posts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.config import FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.domain import RANDOM_POLICY, Floats, Ids
from feed_ranking.evaluation.live.recompute import FeatureRecount
from feed_ranking.events.codec import user_from_lists
from feed_ranking.events.cuts import live_root
from feed_ranking.events.paths import PREDICTIONS
from feed_ranking.events.schemas import Prediction
from feed_ranking.features.views import default_user
from feed_ranking.model.artifact import Bundle, load_bundle, worth_s
from infra.columns import HOUR_S
from infra.design import with_known_knobs
from infra.evaluation.experiment import Score
from infra.evaluation.figures import Figure
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Measured, Since
from infra.prediction_log.versions import Bundles, VersionGone
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings

CHOICE = 11
"""seed of the sample of predictions"""
LEAST_VALUE = ">= 0.98"
"""bound of `logged_value`: share of the predicted value of the best posts that the logged candidates must keep"""


@dataclass(frozen=True)
class Kept:
    """One prediction: `held` of the `best` posts are among the candidates, whose best posts are worth `value_s` of
    `best_s`."""

    held: int
    best: int
    value_s: float
    best_s: float


def candidates(settings: Settings, since: Since, limit: int, report: Progress) -> Measured:
    """Measure the logged candidates (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    log = PredictionLog(live_root(settings) / PREDICTIONS, Prediction, since, limit, seed=CHOICE)
    release, base = read_release(settings.design_root(DESIGN.name)), DESIGN.configuration(settings.preset)
    recount, bundles = FeatureRecount.read(settings, release, base), Bundles(settings, release, load_bundle)
    left_out = Counter[str]()
    logged, configured = [], []
    for number, prediction in enumerate(log):
        try:
            if reason := not_comparable(prediction) or recount.not_recomputable(prediction):
                left_out[reason] += 1
            else:
                bundle = bundles.of(prediction)
                config = with_known_knobs(base, prediction.knobs)
                pool, heavy, light = scores_of_all(prediction, recount, bundle, config)
                cut = np.argsort(-light, kind="stable")[: config.rank.heavy_top_k or len(pool)]
                logged.append(kept(heavy, np.isin(pool, prediction.post_ids), prediction.k))
                configured.append(kept(heavy, np.isin(np.arange(len(pool)), cut), prediction.k))
        except VersionGone as exc:
            left_out[str(exc)] += 1
        report((number + 1) / len(log), f"{number + 1} of {len(log)} predictions")
    figures = [
        *figures_of("logged", "the logged candidates", logged, LEAST_VALUE),
        *figures_of("configured", "the configured cut of all live posts", configured),
    ]
    return Measured(len(log), len(logged), figures if logged else [], dict(left_out))


def not_comparable(prediction: Prediction) -> str:
    """The reason why the candidates of a prediction are not those of the configured pipeline, or the empty string."""
    if prediction.policy == RANDOM_POLICY:
        return "a slate of the randomised bucket has random candidates"
    if prediction.degraded:
        return f"degraded: {', '.join(prediction.degraded)}"
    if not prediction.embedding:
        return "the user had no features"
    names = {item.name for stage in ("retrieve", "rank") for item in fields(getattr(FeedConfig(), stage))}
    return "the request chose its own candidates" if names & set(prediction.knobs) else ""


def scores_of_all(
    prediction: Prediction, recount: FeatureRecount, bundle: Bundle, config: FeedConfig
) -> tuple[Ids, Floats, Floats]:
    """All posts that the service could have shown, and their heavy and light scores with the features of that time."""
    posts = recount.catalogue.posts
    published = posts["published_ts"].to_numpy()
    is_live = published >= recount.world_now - config.world.post_life_h * HOUR_S
    pool = posts["post_id"].to_numpy(np.int64)[is_live & (published < prediction.request_ts)]
    pool = pool[~np.isin(pool, prediction.seen)]
    user = user_from_lists(prediction.features, default_user(config.world.topics))
    inputs = recount.inputs(replace(prediction, post_ids=pool.tolist()), user, bundle)
    light = bundle.light(np.ascontiguousarray(inputs[:, bundle.light_columns]))
    return pool, worth_s(bundle.heavy(inputs), config.objective), worth_s(light, config.objective)


def kept(score: Floats, is_candidate: npt.NDArray[np.bool_], k: int) -> Kept:
    """What the candidates among n posts keep of the `k` best of them by `score` float32[n]."""
    best = np.argsort(-score, kind="stable")[:k]
    among = np.sort(score[is_candidate])[::-1][:k]
    return Kept(int(is_candidate[best].sum()), len(best), float(among.sum()), float(score[best].sum()))


def figures_of(name: str, of: str, found: Sequence[Kept], must: str | None = None) -> list[Figure]:
    """Recall and value of these candidates, each with a 95% interval over predictions."""
    columns: Mapping[str, Any] = {
        item.name: np.array([getattr(one, item.name) for one in found], np.float64) for item in fields(Kept)
    }
    recall = Score(
        f"{name}_recall", f"share of the best posts of all that {of} hold", "", columns["held"], columns["best"]
    )
    value = Score(
        f"{name}_value", f"predicted value of {of}, as a share of the best of all", "",
        columns["value_s"], columns["best_s"],
    )  # fmt: skip
    return [
        Figure(score.id, score.text, score.value, *score.interval(), "", bound)
        for score, bound in ((recall, None), (value, must))
    ]
