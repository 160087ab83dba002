"""The answer of last resort: a trip's time from the great circle between its ends, where no engine routes.

All of it is learned from the trips of the training days: the time per metre and at the kerbs, the usual detour, and the
interval of past trips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eta_prediction.domain import Array, Ints, RoadGraph
from infra.routing.snap import great_circle_m

LEVELS = (0.1, 0.5, 0.9)
LEAST_S = 30.0


@dataclass(frozen=True)
class GreatCircle:
    """A trip over d metres takes about fixed_s + s_per_m × d, and its route is `detour` × d long. `interval` are
    quantiles (P10, P50, P90) of actual over predicted time."""

    fixed_s: float
    s_per_m: float
    detour: float
    interval: tuple[float, float, float]

    def seconds(self, metres: Array) -> Array:
        """float64[n]: predicted times."""
        found: Array = np.maximum(self.fixed_s + self.s_per_m * metres, LEAST_S)
        return found

    def quantiles(self, metres: Array) -> Array:
        """float64[n, 3]: P10, P50 and P90 in seconds."""
        found: Array = self.seconds(metres)[:, None] * np.array(self.interval)
        return found

    def as_json(self) -> dict[str, Any]:
        return vars(self)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> GreatCircle:
        return cls(stored["fixed_s"], stored["s_per_m"], stored["detour"], tuple(stored["interval"]))


def between(graph: RoadGraph, origin: Ints, destination: Ints) -> Array:
    """float64[n]: metres between nodes."""
    ends = (values[nodes] for nodes in (origin, destination) for values in (graph.lon, graph.lat))
    return great_circle_m(*ends)


def fit_great_circle(metres: Array, km: Array, seconds: Array) -> GreatCircle:
    """Least squares of the times `seconds` float64[n]; `km` float64[n] are the lengths of the routes."""
    columns = np.stack([np.ones(len(metres)), metres], axis=1)
    fixed_s, s_per_m = np.linalg.lstsq(columns, seconds, rcond=None)[0].tolist()
    found = GreatCircle(fixed_s, s_per_m, float(1000 * km.sum() / metres.sum()), (1.0, 1.0, 1.0))
    low, middle, high = np.quantile(seconds / found.seconds(metres), LEVELS).tolist()
    return GreatCircle(found.fixed_s, found.s_per_m, found.detour, (low, middle, high))
