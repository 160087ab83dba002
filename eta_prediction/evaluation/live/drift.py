"""What the drift monitor reads in the live log of rides (`infra.telemetry.drift`): quotes, and the ends of their trips.

All trips are judged at the same age, the P50 of a long trip: with an age that depends on the trip, the first windows
after a start would hold only short trips. A trip that has not arrived by then counts with that age. Trips with a later
P90 are left out, because at that age too many of them are still under way: in the rush hour, when trips are long, they
would look like a drift. Trips that riders cancel say nothing about the model.

The calibration compares the time of trips with P50: in all, by the district where a trip starts, and by the busy roads
of its route (`evaluation.busy_roads`). The loss is in widths of the predicted interval: a model that knows that the
rush hour is less certain has not drifted in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from eta_prediction.design import DESIGN
from eta_prediction.domain import ARRIVED, CANCELLED, DISTRICTS, NONE, Ints
from eta_prediction.evaluation.live.busy_roads import busiest_roads
from eta_prediction.evaluation.live.replay import skip_reason
from eta_prediction.events.codec import edges_of, inputs_of
from eta_prediction.events.history import read_graph
from eta_prediction.events.paths import QUOTES, TRIPS
from eta_prediction.events.schemas import Quote
from eta_prediction.model.inputs import NAMES, TIME, Floats
from eta_prediction.model.quantiles import pinball_rows
from infra.build.fingerprints import current_output
from infra.columns import seconds
from infra.prediction_log.reader import event_of
from infra.registry.release import Release, read_release
from infra.settings import Settings
from infra.telemetry.drift.bins import SCORE, Bins
from infra.telemetry.drift.observed import Array, Labels, Observed, Units

P10, P50, P90 = 0, 1, 2
NARROWEST_S = 1.0
"""bounds the loss of a trip whose predicted interval has no width"""
GIVEN_UP = -1.0
"""label of a cancelled trip"""
COMPARED = [place for place, name in enumerate(NAMES) if name not in TIME]
"""columns of the inputs that are compared. Those of the group TIME follow the clock: any two windows differ in them."""


class RideDrift:
    """The `DriftSource` of rides."""

    predictions = QUOTES
    labels = (TRIPS,)
    unit = "trips"
    ratio = "time of trips / P50"
    measure = "pinball loss / (P90 - P10)"

    def __init__(self, settings: Settings, release: Release | None = None) -> None:
        root = settings.design_root(DESIGN.name)
        release = release or read_release(root)
        self._digest = release.model_digest
        world = current_output(root, "world")
        graph = read_graph(world)
        roads = busiest_roads(graph, world)
        self._district, self._roads = graph.district, np.zeros((graph.edges, len(roads)), np.bool_)
        for place, edges in enumerate(roads):
            self._roads[edges, place] = True
        self.segments = (
            *(f"from district {district}" for district in range(DISTRICTS)),
            *(f"over edge {edges.min()}" for edges in roads),
        )
        self.version = f"{release.model_name}/{release.model_version}"
        self.bins = Bins.read(current_output(root, DESIGN.evaluate))
        self._judged_after_s = self.bins.edges[SCORE][-1]  # nine of ten trips have a smaller P50

    def observe(self, tables: Mapping[str, pa.Table]) -> Observed:
        texts = tables[QUOTES]["event"].to_pylist() if QUOTES in tables else []
        quotes = [event_of(Quote, text, "the log of quotes") for text in texts]
        mine = [one for one in quotes if one.model_digest == self._digest]
        usual = [one for one in mine if not skip_reason(one)]
        x = np.concatenate([np.zeros((0, len(NAMES)), np.float32), *(inputs_of(one.x) for one in usual)])
        band = np.array([one.quantiles for one in usual], np.float64).reshape(-1, 3)
        return Observed(
            request_ts=np.array([one.request_ts for one in mine], np.float64),
            age_s=np.array([one.request_ts - one.speeds_ts if one.speeds_ts else np.nan for one in mine], np.float64),
            is_unknown=np.array([one.driver_id != NONE and not one.driver_ts for one in mine], np.bool_),
            inputs=compared(x, band[:, P50]),
            units=Units(
                id=np.array([one.quote_id for one in usual], np.int64),
                mature_ts=np.array([one.departure_ts for one in usual], np.float64) + self._judged_after_s,
                group=np.array([one.quote_id for one in usual], np.int64),
                segment=self._segments_of(usual),
                predicted=band,
                actual=np.full(len(usual), np.nan),
            ),
            labels=_labels(tables.get(TRIPS)),
        )

    def _segments_of(self, quotes: Sequence[Quote]) -> Ints:
        """int64[n, 1 + roads]: the district of the origin, and the busy roads that the quoted route passes."""
        roads = DISTRICTS + np.arange(self._roads.shape[1])
        found = np.full((len(quotes), 1 + len(roads)), -1, np.int64)
        for row, one in enumerate(quotes):
            found[row, 0] = self._district[one.origin]
            found[row, 1:] = np.where(np.any(self._roads[edges_of(one.edges)], axis=0), roads, -1)
        return found

    def judged(self, units: Units) -> Units:
        limit_s = self._judged_after_s
        actual = np.where(np.isnan(units.actual), limit_s, np.minimum(units.actual, limit_s))
        is_in_time = units.predicted[:, P90] <= limit_s
        return replace(units, actual=actual).take(is_in_time & (actual != GIVEN_UP))

    def expected(self, predicted: Array) -> Array:
        return predicted[:, P50]

    def loss(self, predicted: Array, actual: Array) -> Array:
        width_s = np.maximum(predicted[:, P90] - predicted[:, P10], NARROWEST_S)
        found: Array = pinball_rows(actual, predicted) / width_s
        return found


def compared(x: Floats, p50_s: Array) -> dict[str, Array]:
    """Input -> values, for the model's inputs `x` float32[n, NAMES] and its P50 float64[n] in seconds."""
    return {NAMES[place]: x[:, place].astype(np.float64) for place in COMPARED} | {SCORE: p50_s}


def _labels(trips: pa.Table | None) -> Labels:
    if trips is None:
        return Labels(np.zeros(0, np.int64), np.zeros(0))
    outcome = np.array(trips["outcome"].to_pylist(), object)
    took_s = seconds(trips["arrival_ts"].to_numpy()) - seconds(trips["request_ts"].to_numpy())
    actual = np.where(outcome == CANCELLED, GIVEN_UP, took_s)
    is_end = np.isin(outcome, (ARRIVED, CANCELLED)) & np.isfinite(actual)
    return Labels(trips["trip_id"].to_numpy().astype(np.int64)[is_end], actual[is_end])
