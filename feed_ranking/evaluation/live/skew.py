"""`lab skew feed_ranking`: compares served features with the features that training would join.

Training uses features from a point-in-time join. Serving uses features that a worker computes, pushes and caches. If
the two differ (training-serving skew), predictions degrade and no other check detects it. For a sample of the logged
predictions, this module recomputes the features offline, as of their logged times, and compares them with the served
ones: the user's features and every input of the ranker.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.design import DESIGN
from feed_ranking.domain import CREATOR_COUNTS, Floats, UserFeatures
from feed_ranking.evaluation.live.recompute import FeatureRecount
from feed_ranking.events.codec import unpack, user_from_lists
from feed_ranking.events.schemas import Prediction
from feed_ranking.features.views import default_user, open_store
from feed_ranking.model.artifact import Bundle, load_bundle
from feed_ranking.model.inputs import ranker_names
from infra.prediction_log.parity import Skew, compare
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Compared, Since
from infra.prediction_log.versions import Bundles, VersionGone
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings

CHOICE = 7
"""seed of the sample of predictions, so two runs compare the same predictions"""
INPUT_TOLERANCE = 1e-4
"""absolute tolerance: the towers round differently for other batch sizes, and sums depend on the order of events"""


def skew(settings: Settings, since: Since, limit: int, report: Progress) -> Compared:
    """Compare features (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    root = settings.design_root(DESIGN.name)
    log = PredictionLog(root / "live" / "predictions", Prediction, since, limit, seed=CHOICE)
    release, config = read_release(root), DESIGN.configuration(settings.preset)
    known = FeatureRecount.read(settings, release, config)
    store = open_store(Path(release.features_path), settings)
    bundles, left_out = Bundles(settings, release, load_bundle), Counter[str]()
    usable: list[tuple[Prediction, Bundle]] = []
    for prediction in log:
        try:
            if reason := known.not_recomputable(prediction):
                left_out[reason] += 1
            else:
                usable.append((prediction, bundles.of(prediction)))
        except VersionGone as exc:
            left_out[str(exc)] += 1
    predictions = [prediction for prediction, _ in usable]
    report(0.1, f"{len(predictions)} predictions")
    users = known.users(store, predictions)
    report(0.3, "user features")
    topics = config.world.topics
    served_inputs, inputs = [], []
    for number, (prediction, bundle) in enumerate(usable):
        served_inputs.append(unpack(prediction.inputs, len(ranker_names(topics))))
        inputs.append(known.inputs(prediction, users[number], bundle))
        report(0.3 + 0.7 * (number + 1) / len(usable), f"{number + 1} of {len(usable)} predictions")
    found: list[Skew] = []
    if usable:
        slots = config.features.creator_slots
        default = default_user(topics)
        served = [user_from_lists(prediction.features, default) for prediction in predictions]
        found += compare(columns_of_users(served, slots), columns_of_users(users, slots))
        left, right = (by_name(np.concatenate(parts), topics) for parts in (served_inputs, inputs))
        found += compare(left, right, tolerance=INPUT_TOLERANCE)
    found.sort(key=lambda one: -one.share)
    features = len(fields(UserFeatures)) + len(ranker_names(topics))
    return Compared(len(log), len(usable), features, found, dict(left_out))


def by_name(inputs: Floats, topics: int) -> dict[str, Floats]:
    return dict(zip(ranker_names(topics), inputs.T, strict=True))


def columns_of_users(users: Sequence[UserFeatures], slots: int) -> dict[str, npt.NDArray[Any]]:
    """`user.<field>` -> [m, ...]. Follows are sorted, because they have no order; short lists are padded with neutral
    values."""
    longest = max(user.follows.shape[1] for user in users)
    rows: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    for user in users:
        values = {item.name: getattr(user, item.name)[0] for item in fields(UserFeatures)}
        short = slots - len(values["creators"])
        counts = values["creator_counts"].reshape(len(CREATOR_COUNTS), -1)
        values["creators"] = np.pad(values["creators"], (0, short), constant_values=-1)
        values["creator_counts"] = np.pad(counts, ((0, 0), (0, short)))
        values["follows"] = np.sort(
            np.pad(values["follows"], (0, longest - len(values["follows"])), constant_values=-1)
        )
        for name, value in values.items():
            rows[f"user.{name}"].append(value)
    return {name: np.stack(values) for name, values in rows.items()}
