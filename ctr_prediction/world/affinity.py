"""The affinity of a segment for a creative: a dot product of vectors that drifts with time.

Lesson: vectors of segments and creatives explain pairs with few impressions, which is the purpose of embeddings
(**generalisation**). **Drift**: every segment's vector rotates by `drift_deg_per_day`, so a model of last week is off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import Array, Ints
from infra.columns import DAY_S
from infra.simulation.streams import start_ts, stream


@dataclass(frozen=True)
class Affinity:
    """`segment` and `turned` float64[segments, latent]: a vector, and an orthogonal vector towards which it rotates;
    `creative` float64[creatives, latent]. Affinities have a variance of 1 over all pairs."""

    segment: Array
    turned: Array
    creative: Array
    start_ts: float
    radians_per_s: float

    def fit(self, segments: Ints, creatives: Ints, at_ts: Array) -> Array:
        """float64: affinities, standard normal over pairs at any time; the arguments broadcast together."""
        angle = (self.radians_per_s * (np.asarray(at_ts) - self.start_ts))[..., None]
        tastes = np.cos(angle) * self.segment[segments] + np.sin(angle) * self.turned[segments]
        found: Array = (tastes * self.creative[creatives]).sum(axis=-1)
        return found


def make_affinity(config: WorldConfig) -> Affinity:
    rng = stream(config.seed, "affinity")
    vectors = rng.normal(size=(config.segments, config.latent_size))
    other = rng.normal(size=vectors.shape)
    other -= vectors * ((other * vectors).sum(axis=1) / (vectors**2).sum(axis=1))[:, None]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    across = other / np.linalg.norm(other, axis=1, keepdims=True)
    creative = rng.normal(size=(config.creatives, config.latent_size))
    radians_per_s = np.deg2rad(config.drift_deg_per_day) / DAY_S
    return Affinity(unit, across, creative, start_ts(config), float(radians_per_s))
