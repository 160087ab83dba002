"""Latent congestion z of the groups of edges, and the log pace that follows from it.

z is a stationary autoregressive process: z_k = φ z_(k-1) + sqrt(1 - φ²) L ε, L Lᵀ = Σ, φ = exp(-step / persistence).
The log pace of group g in step k is C_g(hour) + W_g(rain) + A(hour) z_(g,k), added to an edge's own free-flow pace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import TrafficConfig
from eta_prediction.domain import DISTRICTS, GROUP_CLASS, GROUPS, Array, Ints, RoadGraph
from eta_prediction.world.city import METRES_PER_DEGREE

CENTRALITY = np.r_[np.repeat(np.r_[1.0, np.full(6, 0.75), np.full(12, 0.5)], 2), np.full(GROUPS - 2 * DISTRICTS, 0.7)]
"""recurrent congestion of a group relative to the centre's"""


@dataclass(frozen=True)
class Traffic:
    """`covariance` float64[groups, groups] is Σ, `persistence` is φ."""

    config: TrafficConfig
    covariance: Array
    persistence: float

    def expected(self, profile: Array, rain: Array, group: Ints) -> Array:
        """Log pace without congestion: C + W, for arrays of equal shape."""
        c = np.array(self.config.recurrent)[GROUP_CLASS] * CENTRALITY
        w = np.array(self.config.rain)[GROUP_CLASS]
        found: Array = c[group] * profile + w[group] * rain
        return found

    def swing(self, profile: Array) -> Array:
        """A: the effect of one unit of z on the log pace."""
        found: Array = self.config.swing * (0.07 + 0.26 * profile)
        return found

    def first(self, rng: np.random.Generator) -> Array:
        """A draw of z float64[groups] from its stationary law."""
        found: Array = np.linalg.cholesky(self.covariance) @ rng.normal(size=GROUPS)
        return found

    def path(self, rng: np.random.Generator, before: Array, steps: int) -> Array:
        """z float64[steps, groups] of the steps that follow `before`."""
        noise = rng.normal(size=(steps, GROUPS)) @ np.linalg.cholesky(self.covariance).T
        found, scale, z = np.empty((steps, GROUPS)), np.sqrt(1 - self.persistence**2), before
        for k in range(steps):
            z = self.persistence * z + scale * noise[k]
            found[k] = z
        return found


def make_traffic(config: TrafficConfig, graph: RoadGraph) -> Traffic:
    weight = np.bincount(graph.group, graph.length_m, GROUPS)
    east_m = METRES_PER_DEGREE * np.cos(np.radians(graph.lat.mean()))
    x, y = (
        np.bincount(graph.group, graph.length_m * value[graph.tail], GROUPS) / np.maximum(weight, 1e-9)
        for value in (graph.lon * east_m, graph.lat * METRES_PER_DEGREE)
    )
    away = np.hypot(x[:, None] - x, y[:, None] - y)
    own = 1.0 - config.city_share - config.near_share
    covariance = config.city_share + config.near_share * np.exp(-away / config.near_m) + own * np.eye(GROUPS)
    return Traffic(config, covariance, float(np.exp(-config.step_s / 60 / config.persistence_min)))
