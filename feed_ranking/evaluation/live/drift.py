"""What the drift monitor reads in the feed's live log (`infra.telemetry.drift`): impressions and clicks.

The calibration compares clicks with p(click | examined) × learned examination, in all and by topic. A change of users'
tastes for a topic shows there first: it changes no input of the ranker until the worker has counted new reactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from feed_ranking.config import FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.domain import Floats, Ids
from feed_ranking.evaluation.live.replay import not_replayable
from feed_ranking.events.codec import unpack
from feed_ranking.events.paths import LOG, PREDICTIONS
from feed_ranking.events.schemas import Prediction
from feed_ranking.model.artifact import load_bundle
from feed_ranking.model.inputs import ranker_names
from infra.build.fingerprints import current_output
from infra.design import with_known_knobs
from infra.prediction_log.reader import event_of
from infra.registry.release import Release, read_release
from infra.settings import Settings
from infra.telemetry.drift.bins import SCORE, Bins
from infra.telemetry.drift.observed import Array, Labels, Observed, Units
from infra.training.click_metrics import log_loss_rows

CLOCK = ("context_hour_", "context_weekday_")
"""beginnings of the names of inputs that follow the clock: they differ between any two windows, and are not compared"""
MATURE_S = 30.0
"""A user reacts while the slate is on the screen. An item without a reaction by then was not seen."""


class FeedDrift:
    """The `DriftSource` of the feed."""

    predictions = PREDICTIONS
    labels = (LOG,)
    unit = "impressions"
    ratio = "clicks / predicted clicks"
    measure = "log loss of clicks"

    def __init__(self, settings: Settings, release: Release | None = None) -> None:
        root = settings.design_root(DESIGN.name)
        release = release or read_release(root)
        self._config: FeedConfig = DESIGN.configuration(settings.preset)
        self._bundle = load_bundle(Path(release.model_path), release.model_digest)
        self._names = ranker_names(self._config.world.topics)
        self._examination = np.asarray(self._bundle.meta["examination"]["heavy"], np.float64)
        self.segments = tuple(f"topic {topic}" for topic in range(self._config.world.topics))
        self.version = f"{release.model_name}/{release.model_version}"
        self.bins = Bins.read(current_output(root, DESIGN.evaluate))

    def observe(self, tables: Mapping[str, pa.Table]) -> Observed:
        predictions = [event_of(Prediction, text, "the prediction log") for text in _texts(tables)]
        mine = [one for one in predictions if one.model_digest == self._bundle.digest]
        units, inputs = [Units.none(1)], [np.zeros((0, len(self._names) + 1), np.float32)]
        for one in mine:
            if one.chosen and not self._without_heavy_ranker(one):
                made, x = self._units(one)
                units.append(made)
                inputs.append(x)
        columns = np.concatenate(inputs)
        return Observed(
            request_ts=np.array([one.request_ts for one in mine], np.float64),
            age_s=np.array([one.request_ts - one.feature_ts if one.feature_ts else np.nan for one in mine], np.float64),
            is_unknown=np.array([one.is_cold for one in mine], np.bool_),
            inputs=compared(self._names, columns[:, :-1], columns[:, -1]),
            units=Units.joined(units),
            labels=_labels(tables.get(LOG)),
        )

    def judged(self, units: Units) -> Units:
        return units.take(np.isfinite(units.actual))

    def expected(self, predicted: Array) -> Array:
        return predicted[:, 0]

    def loss(self, predicted: Array, actual: Array) -> Array:
        return log_loss_rows(actual, predicted[:, 0])

    def _without_heavy_ranker(self, one: Prediction) -> bool:
        config = with_known_knobs(self._config, one.knobs)
        return config.rank.heavy_top_k == 0 or bool(not_replayable(one, config))

    def _units(self, one: Prediction) -> tuple[Units, Floats]:
        """The shown posts of a slate, and their inputs and scores."""
        x = unpack(one.inputs, len(self._names))[np.asarray(one.chosen, np.int64)]
        examined = self._bundle.heavy(x)[:, 0]
        place = np.minimum(np.arange(len(x)), len(self._examination) - 1)
        first_topic = self._names.index("post_topic_0")
        posts = np.asarray(one.post_ids, np.int64)[np.asarray(one.chosen, np.int64)]
        return Units(
            id=unit_ids(np.full(len(x), one.slate_id), posts),
            mature_ts=np.full(len(x), one.request_ts + MATURE_S),
            group=np.full(len(x), one.slate_id),
            segment=x[:, first_topic : first_topic + len(self.segments)].argmax(axis=1, keepdims=True).astype(np.int64),
            predicted=(examined * self._examination[place]).astype(np.float64)[:, None],
            actual=np.full(len(x), np.nan),
        ), np.column_stack([x, examined])


def compared(names: Sequence[str], inputs: Floats, score: Floats) -> dict[str, Floats]:
    """Input -> values, for the ranker's `inputs` float32[n, names] and its click probability `score` float32[n]."""
    columns = zip(names, inputs.T, strict=True)
    return {name: values for name, values in columns if not name.startswith(CLOCK)} | {SCORE: score}


def unit_ids(slate_id: Ids, post_id: Ids) -> Ids:
    """int64[n]: a number for each post on a slate. Overflow wraps; two equal numbers are as good as impossible."""
    return slate_id * np.int64(1_000_003) + post_id


def _labels(log: pa.Table | None) -> Labels:
    if log is None:
        return Labels(np.zeros(0, np.int64), np.zeros(0))
    slate, post = (log[name].to_numpy().astype(np.int64) for name in ("slate_id", "post_id"))
    is_post = post >= 0
    return Labels(unit_ids(slate, post)[is_post], log["clicked"].to_numpy().astype(np.float64)[is_post])


def _texts(tables: Mapping[str, pa.Table]) -> list[str]:
    return tables[PREDICTIONS]["event"].to_pylist() if PREDICTIONS in tables else []
