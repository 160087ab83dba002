"""`lab replay feed_ranking`: repeats every logged prediction and compares the results bit for bit.

The replay uses the logged model version, the logged inputs and the same batch, because a network's rounding may depend
on the batch size. The heavy ranker must return the logged scores, the user tower the logged embedding, and the seed
must draw the logged slate. A clean replay shows that the log contains everything that determines a slate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.config import FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.domain import RANDOM_POLICY, Floats
from feed_ranking.events.codec import unpack, user_from_lists
from feed_ranking.events.schemas import Prediction
from feed_ranking.features.views import default_user
from feed_ranking.model.artifact import Bundle, load_bundle, worth_s
from feed_ranking.model.inputs import ranker_names, user_tower_inputs
from feed_ranking.model.slate_policy import draw_slate, is_by_new_creator
from infra.design import knobs_of, with_knobs
from infra.evaluation.experiment import Report
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Difference, Replayed, Since
from infra.prediction_log.versions import Bundles, VersionGone
from infra.registry.release import read_release
from infra.settings import Settings

MISSING = ("heavy_ranker_unavailable", "light_ranker_unavailable")


def replay(settings: Settings, since: Since, limit: int, report: Report) -> Replayed:
    """Replay up to `limit` predictions; `infra.prediction_log.results` documents the result. Raises `UsageError` if the
    log is empty."""
    root = settings.design_root(DESIGN.name)
    log = PredictionLog(root / "live" / "predictions", Prediction, since, limit)
    bundles, base = Bundles(settings, read_release(root), load_bundle), DESIGN.configuration(settings.preset)
    left_out: Counter[str] = Counter()
    models: Counter[str] = Counter()
    differences: list[Difference] = []
    for number, prediction in enumerate(log):
        report((number + 1) / len(log), f"{number + 1} of {len(log)} predictions")
        config = turned(base, prediction.knobs)
        try:
            if reason := not_replayable(prediction, config):
                left_out[reason] += 1
                continue
            bundle = bundles.of(prediction)
        except VersionGone as exc:
            left_out[str(exc)] += 1
            continue
        models[prediction.model_version] += 1
        differences += [
            Difference(prediction.event_id, name, how)
            for name, how in differences_of(prediction, bundle, config).items()
        ]
    differing = len({found.prediction for found in differences})
    return Replayed(len(log), sum(models.values()), differing, differences, dict(left_out), dict(models))


def turned(config: FeedConfig, knobs: Mapping[str, Any]) -> FeedConfig:
    """The preset, with the values of the request's knobs."""
    known = {knob.name for knob in knobs_of(config)}
    found: FeedConfig = with_knobs(config, {name: value for name, value in knobs.items() if name in known})
    return found


def not_replayable(prediction: Prediction, config: FeedConfig) -> str:
    """The reason why the scores cannot be replayed (a network was unavailable), or the empty string."""
    heavy, light = MISSING
    needed = light if config.rank.heavy_top_k == 0 else heavy
    return needed if needed in prediction.degraded else ""


def differences_of(prediction: Prediction, bundle: Bundle, config: FeedConfig) -> dict[str, str]:
    """Field -> description of the difference, for every field that differs."""
    topics = bundle.priors.topics
    inputs = unpack(prediction.inputs, len(ranker_names(topics)))
    logged: dict[str, npt.NDArray[Any]] = {
        "scores": np.asarray(prediction.scores, np.float32),
        "chosen": np.asarray(prediction.chosen, np.int64),
        "propensity": np.asarray(prediction.propensity, np.float32),
        "explored": np.asarray(prediction.explored, bool),
    }
    drawn = draw_slate(
        logged["scores"],
        np.asarray(prediction.creator_ids, np.int64),
        (prediction.request_ts - np.asarray(prediction.published_ts, np.float64)) / 3600,
        is_by_new_creator(inputs, topics),
        prediction.k,
        config.rerank,
        prediction.seed,
        uniform=prediction.policy == RANDOM_POLICY,
    )
    again: dict[str, npt.NDArray[Any]] = {
        "scores": scores_again(inputs, bundle, config),
        "chosen": drawn.chosen,
        "propensity": drawn.propensity.astype(np.float32),
        "explored": drawn.explored,
    }
    if len(prediction.embedding):  # empty if the user tower was unavailable
        user = user_from_lists(prediction.features, default_user(topics))
        logged["embedding"] = np.asarray(prediction.embedding, np.float32)
        again["embedding"] = bundle.user_tower(user_tower_inputs(user, bundle.priors))[0]
    return {name: how for name in logged if (how := difference(logged[name], again[name]))}


def scores_again(inputs: Floats, bundle: Bundle, config: FeedConfig) -> Floats:
    """float32[n]: scores of the heavy ranker, or of the light ranker if the request did not use the heavy one."""
    if not len(inputs):
        return np.empty(0, np.float32)
    if config.rank.heavy_top_k == 0:
        return worth_s(bundle.light(np.ascontiguousarray(inputs[:, bundle.light_columns])), config.objective)
    return worth_s(bundle.heavy(inputs), config.objective)


def difference(logged: npt.NDArray[Any], again: npt.NDArray[Any]) -> str:
    """Description of how two arrays differ bit for bit; the empty string if they are equal."""
    if logged.shape != again.shape:
        return f"{len(logged)} were logged, {len(again)} came out"
    moved = logged != again
    if not moved.any():
        return ""
    gap = np.abs(logged.astype(np.float64) - again.astype(np.float64)).max()
    return f"{int(moved.sum())} of {moved.size} moved, by at most {gap:.3g}"
