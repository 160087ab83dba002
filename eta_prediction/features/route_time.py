"""The corrected route: a linear prediction of a trip's time from its route. Places and drivers are compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eta_prediction.domain import POOLED, Array, Ints
from eta_prediction.features.route_inputs import RouteInputs

KERB_NOISE_S, POOL_NOISE_S, ROAD_NOISE = 75.0, 140.0, 0.2
"""standard deviation of a trip's time around the prediction: seconds at the kerbs, seconds for a second rider of a
pooled trip, and a share of the time on the road"""
RIDGE = 1e-3


@dataclass(frozen=True)
class RouteTime:
    """`weights` float64[columns], of the columns of `_columns`."""

    weights: Array

    def road_s(self, inputs: RouteInputs) -> Array:
        """float64[n]: the time between the kerbs."""
        found: Array = _columns(inputs, np.zeros(len(inputs.km), np.int64))[:, :-2] @ self.weights[:-2]
        return np.maximum(found, 1.0)

    def fixed_s(self, ride_type: Ints) -> Array:
        """float64[n]: mean time at the kerbs, and of a second rider of a pooled trip."""
        found: Array = self.weights[-2] * (ride_type == POOLED) + self.weights[-1]
        return found

    def write(self, path: Path) -> None:
        np.savez(path, weights=self.weights)

    @classmethod
    def read(cls, path: Path) -> RouteTime:
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["weights"])


def noise_s(road_s: Array, ride_type: Ints) -> Array:
    """float64[n]: standard deviation of a trip's time around the prediction."""
    found: Array = np.sqrt(KERB_NOISE_S**2 + POOL_NOISE_S**2 * (ride_type == POOLED) + (ROAD_NOISE * road_s) ** 2)
    return found


def fit_route_time(inputs: RouteInputs, ride_type: Ints, seconds: Array) -> RouteTime:
    """Weighted least squares; long trips vary more and count less."""
    columns = _columns(inputs, ride_type)
    weight = noise_s(1.2 * inputs.live_s, ride_type) ** -2
    scaled = columns * weight[:, None]
    below = columns.T @ scaled
    below[np.diag_indices(len(below))] *= 1 + RIDGE
    return RouteTime(np.asarray(np.linalg.solve(below, scaled.T @ seconds), np.float64))


def _columns(inputs: RouteInputs, ride_type: Ints) -> Array:
    busy = inputs.traffic
    return np.stack(
        [
            inputs.live_s,
            inputs.turns,
            inputs.turns * busy,
            inputs.signals,
            inputs.signals * busy,
            inputs.incidents_expected,
            (ride_type == POOLED).astype(np.float64),
            np.ones(len(inputs.km)),
        ],
        axis=1,
    )
