"""What the drift monitor reads in the ads' live log (`infra.telemetry.drift`): shown ads, and whether users clicked.

Some clicks are reported hours later. An impression is judged by the clicks of its first `MATURE_S` seconds: a share of
the clicks is missing then, in the reference as in each later window. The calibration compares clicks with p(click), in
all, by device and by the user's segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from ctr_prediction.config import CtrConfig
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import DEVICES, Floats, Ints
from ctr_prediction.events.codec import unpack, user_from_lists
from ctr_prediction.events.paths import CLICKS, PREDICTIONS, SHOWN
from ctr_prediction.events.schemas import MAX_PLACES, Auction
from ctr_prediction.features.views import default_user
from ctr_prediction.model.artifact import load_bundle
from ctr_prediction.model.inputs import AD_NUMBERS, PERSON_NUMBERS, USER_NUMBERS, person_numbers
from infra.build.fingerprints import current_output
from infra.prediction_log.reader import event_of
from infra.registry.release import Release, read_release
from infra.settings import Settings
from infra.telemetry.drift.bins import SCORE, Bins
from infra.telemetry.drift.observed import Array, Labels, Observed, Units
from infra.training.click_metrics import log_loss_rows

MATURE_S = 120.0
"""seven of ten clicks are reported with a mean delay of 30 s, the others with one of hours"""
ON_DEVICE, OF_SEGMENT = "on a ", "users of segment "

INPUTS = (*USER_NUMBERS[:PERSON_NUMBERS], *AD_NUMBERS, SCORE)
"""inputs that are compared: those of users and of shown ads, without context"""


class AdsDrift:
    """The `DriftSource` of the ads."""

    predictions = PREDICTIONS
    labels = (SHOWN, CLICKS)
    unit = "impressions"
    ratio = "clicks / predicted clicks"
    measure = "log loss of clicks"

    def __init__(self, settings: Settings, release: Release | None = None) -> None:
        root = settings.design_root(DESIGN.name)
        release = release or read_release(root)
        self._config: CtrConfig = DESIGN.configuration(settings.preset)
        self._bundle = load_bundle(Path(release.model_path), release.model_digest)
        self._examination = np.asarray(self._bundle.debiased.examination, np.float64)
        self.version = f"{release.model_name}/{release.model_version}"
        users = (OF_SEGMENT + str(segment) for segment in range(self._config.world.segments))
        self.segments = (*(ON_DEVICE + name for name in DEVICES), *users)
        self.bins = Bins.read(current_output(root, DESIGN.evaluate))

    def observe(self, tables: Mapping[str, pa.Table]) -> Observed:
        auctions = [event_of(Auction, text, "the auction log") for text in _texts(tables)]
        mine = [one for one in auctions if one.model_digest == self._bundle.digest]
        usual = [one for one in mine if len(one.chosen) and "position" not in one.knobs]
        units, inputs = [Units.none(1, 2)], [np.zeros((0, len(INPUTS)), np.float32)]
        for one in usual:
            made, x = self._units(one)
            units.append(made)
            inputs.append(x)
        columns = np.concatenate(inputs)
        return Observed(
            request_ts=np.array([one.request_ts for one in mine], np.float64),
            age_s=np.array([one.request_ts - one.feature_ts if one.feature_ts else np.nan for one in mine], np.float64),
            is_unknown=np.array([one.is_cold for one in mine], np.bool_),
            inputs=dict(zip(INPUTS, columns.T, strict=True)),
            units=Units.joined(units),
            labels=_labels(tables),
        )

    def judged(self, units: Units) -> Units:
        return units.take(np.isfinite(units.actual))

    def expected(self, predicted: Array) -> Array:
        return predicted[:, 0]

    def loss(self, predicted: Array, actual: Array) -> Array:
        return log_loss_rows(actual, predicted[:, 0])

    def _units(self, one: Auction) -> tuple[Units, Floats]:
        """The winners of an auction, in the order of their slots, with their inputs and p(click) in the first slot."""
        won, k = np.asarray(one.chosen, np.int64), len(one.chosen)
        slots = np.arange(k)
        scores = unpack(one.scores, "<f4")[won]
        user = user_from_lists(one.features, default_user())
        numbers = person_numbers(user, self._bundle.debiased.priors)[0]
        ads = unpack(one.numbers, "<f4", len(AD_NUMBERS))[won]
        p = scores.astype(np.float64) * self._examination[np.minimum(slots, len(self._examination) - 1)]
        return Units(
            id=one.auction_id * MAX_PLACES + slots,
            mature_ts=np.full(k, one.request_ts + MATURE_S),
            group=np.full(k, one.auction_id),
            segment=np.tile([one.device, len(DEVICES) + int(user.segment[0])], (k, 1)),
            predicted=p[:, None],
            actual=np.full(k, np.nan),
        ), np.column_stack([np.broadcast_to(numbers, (k, len(numbers))), ads, scores])


def _labels(tables: Mapping[str, pa.Table]) -> Labels:
    """An impression counts as seen without a click until its click arrives."""
    ids: list[Ints] = [np.zeros(0, np.int64)]
    values: list[Array] = [np.zeros(0)]
    for folder, value in ((SHOWN, 0.0), (CLICKS, 1.0)):
        if folder in tables:
            ids.append(tables[folder]["impression_id"].to_numpy().astype(np.int64))
            values.append(np.full(len(ids[-1]), value))
    return Labels(np.concatenate(ids), np.concatenate(values))


def _texts(tables: Mapping[str, pa.Table]) -> list[str]:
    return tables[PREDICTIONS]["event"].to_pylist() if PREDICTIONS in tables else []
