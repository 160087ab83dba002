"""Residuals of single edges: the naive alternative to groups, chosen by `probe_smoothing` = "edge".

Most edges of a route have no traversal in the last half hour, so their estimate is the usual traffic. The build
computes the estimates of a whole day at once (`edge_traffic`), the worker those of the present (`EdgeSums`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.features.forecast import SpeedForecast, estimates
from eta_prediction.features.profile import Profile
from eta_prediction.features.residuals import Probes, decay

WINDOW_HALF_LIVES = 5.0
"""older traversals do not count"""


@dataclass(frozen=True)
class EdgeTraffic:
    """`u` float64[m] is the estimate of each edge of the routes at the departure, and `fade` float64[HORIZONS] the
    share of it that is left at each horizon."""

    u: Array
    fade: Array


def edge_traffic(
    profile: Profile,
    forecast: SpeedForecast,
    probes: Probes,
    probe_edge: Ints,
    known_ts: Array,
    edge: Ints,
    at_ts: Array,
    half_life_s: float,
) -> EdgeTraffic:
    """Estimates for edges int64[m] at times float64[m], from the traversals of `probe_edge` known by then.

    Each estimate uses its edge's traversals alone, with the weights of `features.residuals`.
    """
    window_s = WINDOW_HALF_LIVES * half_life_s
    begin_ts = min(float(known_ts.min(initial=np.inf)), float(at_ts.min(initial=np.inf))) - window_s
    span = max(float(known_ts.max(initial=begin_ts)), float(at_ts.max(initial=begin_ts))) - begin_ts + window_s
    key = probe_edge * span + (known_ts - begin_ts)
    order = np.argsort(key)
    asked = edge * span + (at_ts - begin_ts)
    first, last = np.searchsorted(key[order], asked - window_s, "right"), np.searchsorted(key[order], asked, "right")
    count = last - first
    query = np.repeat(np.arange(len(edge)), count)
    row = order[np.repeat(first - (np.cumsum(count) - count), count) + np.arange(len(query))]
    weight = np.exp2(-(at_ts[query] - probes.enter_ts[row]) / half_life_s)
    spread = profile.spread[probes.slot[row]]
    sr = np.bincount(query, weight * spread * probes.residual[row], len(edge)).astype(np.float64)
    ss = np.bincount(query, weight * spread**2, len(edge)).astype(np.float64)
    return EdgeTraffic(estimates(sr, ss, profile.probe_sd), fade_of(forecast))


def fade_of(forecast: SpeedForecast) -> Array:
    """float64[HORIZONS]: the share of a residual that is left at each horizon."""
    found: Array = np.clip(forecast.weights.sum(1), 0.0, 1.0)
    return found


@dataclass(frozen=True)
class EdgeSums:
    """The decayed sums Σ w s r and Σ w s² of each edge as of `at_ts`: `sums` float64[2, edges].

    They include traversals that are older than `WINDOW_HALF_LIVES`; each of these has less than a thirtieth of the
    weight of a new one.
    """

    at_ts: float
    sums: Array

    @classmethod
    def nothing(cls, at_ts: float, edges: int) -> EdgeSums:
        return cls(at_ts, np.zeros((2, edges)))

    def advanced(
        self, to_ts: float, profile: Profile, probes: Probes, probe_edge: Ints, half_life_s: float
    ) -> EdgeSums:
        """The sums at `to_ts`, with the traversals `probes` of `probe_edge` int64[m], known since `at_ts`."""
        weight = np.exp2(-(to_ts - probes.enter_ts) / half_life_s)
        spread, edges = profile.spread[probes.slot], self.sums.shape[1]
        rows = (weight * spread * probes.residual, weight * spread**2)
        added = np.stack([np.bincount(probe_edge, row, edges) for row in rows])
        return EdgeSums(to_ts, self.sums * decay(to_ts - self.at_ts, half_life_s)[0] + added)

    def estimates(self, profile: Profile) -> Array:
        """float64[edges]: the estimate u of each edge."""
        return estimates(self.sums[0], self.sums[1], profile.probe_sd)
