"""The habit of a driver, as of a time: the mean relative residual of the trips that the driver has finished.

The residual of a trip is its time minus the corrected route and the kerbs, over the time on the road. It becomes known
when the trip arrives. The driver who served the trip gets it, who may differ from the one that was assigned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from eta_prediction.domain import Array, Ints
from infra.columns import DAY_S, timestamps

VIEW = "driver_now"
HABIT_SD = 0.06
"""how much drivers differ"""
RECENT_SD = 0.1
MOST = 0.5
"""a residual beyond this is cut: a detour or a jam says little about a driver"""


@dataclass(frozen=True)
class FinishedTrips:
    """n arrived trips: `driver_id` int64[n], `arrival_ts`, `residual` and its standard deviation `noise` float64[n]."""

    driver_id: Ints
    arrival_ts: Array
    residual: Array
    noise: Array

    @classmethod
    def of(cls, driver_id: Ints, arrival_ts: Array, surplus_s: Array, noise_s: Array, road_s: Array) -> FinishedTrips:
        """`surplus_s` float64[n]: seconds beyond the corrected route and the kerbs; `noise_s` is their standard
        deviation, `road_s` the time between the kerbs."""
        return cls(driver_id, arrival_ts, np.clip(surplus_s / road_s, -MOST, MOST), noise_s / road_s)

    @classmethod
    def joined(cls, parts: Sequence[FinishedTrips]) -> FinishedTrips:
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


def driver_rows(trips: FinishedTrips, window_days: float, driver_id: Ints, at_ts: Array) -> pa.Table:
    """Rows of the view for pairs (driver int64[k], time float64[k]), from the trips that arrived until then and within
    the window. `trips` may be in any order."""
    order = np.lexsort((trips.arrival_ts, trips.driver_id))
    driver, arrival_ts = trips.driver_id[order], trips.arrival_ts[order]
    weight = trips.noise[order] ** -2
    sums = [np.r_[0.0, np.cumsum(values)] for values in (np.ones(len(order)), weight, weight * trips.residual[order])]
    first_ts = float(arrival_ts.min()) if len(order) else 0.0
    span = (max(float(arrival_ts.max()), float(at_ts.max())) - first_ts if len(order) and len(at_ts) else 0.0) + DAY_S
    key = driver * span + (arrival_ts - first_ts)

    def place(ts: Array, side: str) -> Ints:
        inside = np.clip(ts - first_ts, -1e-3, span - 1.0)
        found: Ints = np.searchsorted(key, driver_id * span + inside, side)  # type: ignore[call-overload]
        return found

    end, begin, recent = place(at_ts, "right"), place(at_ts - window_days * DAY_S, "left"), place(at_ts - DAY_S, "left")
    count, weights, totals = (total[end] - total[begin] for total in sums)
    recent_weights, recent_totals = (total[end] - total[recent] for total in sums[1:])
    return pa.table(
        {
            "driver_id": driver_id.astype(np.int64),
            "habit": (totals / (weights + HABIT_SD**-2)).astype(np.float32),
            "trips": count.astype(np.float32),
            "lateness": (recent_totals / (recent_weights + RECENT_SD**-2)).astype(np.float32),
            "feature_ts": timestamps(at_ts),
        }
    )


def snapshot_pairs(trips: FinishedTrips, every_s: float, until_ts: float) -> tuple[Ints, Array]:
    """(driver int64[k], time float64[k]): the end of each interval in which a driver finished a trip, and `until_ts`
    once for every driver."""
    at = np.ceil(trips.arrival_ts / every_s).astype(np.int64)
    inside = at * every_s < until_ts
    pairs = np.unique(np.stack([trips.driver_id[inside], at[inside]], axis=1), axis=0)
    everyone = np.unique(trips.driver_id[trips.arrival_ts <= until_ts])
    return np.r_[pairs[:, 0], everyone], np.r_[pairs[:, 1] * every_s, np.full(len(everyone), until_ts)]
