"""`lab replay feed_ranking`: repeats every logged prediction and compares the results bit for bit.

The replay uses the logged model version, the logged inputs and the same batch, because a network's rounding may depend
on the batch size. The heavy ranker must return the logged scores, the user tower the logged embedding, and the seed
must draw the logged slate. A clean replay shows that the log contains everything that determines a slate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.config import FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.domain import RANDOM_POLICY, Floats
from feed_ranking.events.codec import unpack, user_from_lists
from feed_ranking.events.cuts import live_root
from feed_ranking.events.paths import PREDICTIONS
from feed_ranking.events.schemas import Prediction
from feed_ranking.features.views import default_user
from feed_ranking.model.artifact import Bundle, load_bundle, worth_s
from feed_ranking.model.inputs import ranker_names, user_tower_inputs
from feed_ranking.model.slate_policy import draw_slate, is_by_new_creator
from infra.design import with_known_knobs
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.replay import differing_fields, replay_log
from infra.prediction_log.results import Replayed, Since
from infra.prediction_log.versions import Bundles
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings

MISSING = ("heavy_ranker_unavailable", "light_ranker_unavailable")


def replay(settings: Settings, since: Since, limit: int, report: Progress) -> Replayed:
    """Replay predictions (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    root, base = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
    log = PredictionLog(live_root(settings) / PREDICTIONS, Prediction, since, limit)

    def skip_reason(prediction: Prediction) -> str:
        return not_replayable(prediction, with_known_knobs(base, prediction.knobs))

    def moved(prediction: Prediction, bundle: Bundle) -> dict[str, str]:
        return differences_of(prediction, bundle, with_known_knobs(base, prediction.knobs))

    return replay_log(log, Bundles(settings, read_release(root), load_bundle), skip_reason, moved, report)


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
    return differing_fields(logged, again)


def scores_again(inputs: Floats, bundle: Bundle, config: FeedConfig) -> Floats:
    """float32[n]: scores of the heavy ranker, or of the light ranker if the request did not use the heavy one."""
    if not len(inputs):
        return np.empty(0, np.float32)
    if config.rank.heavy_top_k == 0:
        return worth_s(bundle.light(np.ascontiguousarray(inputs[:, bundle.light_columns])), config.objective)
    return worth_s(bundle.heavy(inputs), config.objective)
