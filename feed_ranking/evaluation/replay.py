"""`lab replay feed_ranking`: every logged prediction is made again, and no number may move.

With the model version that made it, on the logged inputs, in the same batch (a network's rounding may depend on how
many rows it sees at once), the heavy ranker must give the logged scores bit for bit, the user tower the logged
embedding, and the seed the logged slate. So whatever was learned from the log can be trusted, and nothing that
decides a slate is missing from it.
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
    """See `infra.prediction_log.results`. Raises `UsageError` where nothing is logged."""
    root, base = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
    log = PredictionLog(live_root(settings) / PREDICTIONS, Prediction, since, limit)

    def why_not(prediction: Prediction) -> str:
        return not_replayable(prediction, with_known_knobs(base, prediction.knobs))

    def moved(prediction: Prediction, bundle: Bundle) -> dict[str, str]:
        return differences_of(prediction, bundle, with_known_knobs(base, prediction.knobs))

    return replay_log(log, Bundles(settings, read_release(root), load_bundle), why_not, moved, report)


def not_replayable(prediction: Prediction, config: FeedConfig) -> str:
    """Why the scores cannot be made again: the network that should have made them was missing. Else nothing."""
    heavy, light = MISSING
    needed = light if config.rank.heavy_top_k == 0 else heavy
    return needed if needed in prediction.degraded else ""


def differences_of(prediction: Prediction, bundle: Bundle, config: FeedConfig) -> dict[str, str]:
    """Field -> how it differs, for what comes out otherwise."""
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
    if len(prediction.embedding):  # none where the user tower was missing: nothing was searched by it
        user = user_from_lists(prediction.features, default_user(topics))
        logged["embedding"] = np.asarray(prediction.embedding, np.float32)
        again["embedding"] = bundle.user_tower(user_tower_inputs(user, bundle.priors))[0]
    return differing_fields(logged, again)


def scores_again(inputs: Floats, bundle: Bundle, config: FeedConfig) -> Floats:
    """float32[n]: by the heavy ranker, or by the light one where the request did without the heavy."""
    if not len(inputs):
        return np.empty(0, np.float32)
    if config.rank.heavy_top_k == 0:
        return worth_s(bundle.light(np.ascontiguousarray(inputs[:, bundle.light_columns])), config.objective)
    return worth_s(bundle.heavy(inputs), config.objective)
