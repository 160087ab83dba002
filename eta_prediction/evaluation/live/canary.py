"""The online metric of a rollout (`infra.telemetry.canary`): the negative error of quotes, by trip.

A trip counts when it arrives, so a step of the canary takes as long as trips do. Cancelled trips have no error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from eta_prediction.domain import ARRIVED
from eta_prediction.events.paths import QUOTES, TRIPS
from infra.columns import seconds
from infra.telemetry.canary.source import Outcomes


class RideCanary:
    """The `CanarySource` of rides."""

    predictions, id_column = QUOTES, "quote_id"
    user_key = ""  # the log does not name riders; those of the lab ask once
    labels = (TRIPS,)
    measure = "negative error of a quote, min"
    settle_s = 0.0
    counts_silence = False

    def outcomes(self, tables: Mapping[str, pa.Table]) -> Outcomes:
        """A row per trip that has arrived."""
        trips = tables[TRIPS]
        took_s = seconds(trips["arrival_ts"].to_numpy()) - seconds(trips["request_ts"].to_numpy())
        error_min = np.abs(took_s - trips["quoted_s"].to_numpy().astype(np.float64)) / 60
        has_arrived = (np.array(trips["outcome"].to_pylist(), object) == ARRIVED) & np.isfinite(error_min)
        trip = trips["trip_id"].to_numpy().astype(np.int64)[has_arrived]
        return Outcomes(trip, trip, -error_min[has_arrived])


CANARY = RideCanary()
