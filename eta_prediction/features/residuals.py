"""The newest traversals as decayed sums per group: what traffic is beyond the usual, and how much of it is observed.

A traversal with the residual r, which entered its edge `age` ago, counts with 2^(-age / half-life). Residuals are
divided by the spread s of their time of the week, so that one number, u = r / s, describes a jam at any hour. With
probe noise σ and a prior of sd 1, the estimate of u from decayed sums is

    u = Σ w s r / (Σ w s² + σ²)

so groups with few traversals are close to the usual traffic. Late uploads enter with their age when they become known:
the sums at time t depend on the set of traversals known at t only, not on the order in which they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import GROUPS, Array, Ints, RoadGraph
from eta_prediction.features.probes import log_ratios
from eta_prediction.features.profile import SLOTS, Profile

FASTER = 4
"""the slow half-life over the fast one"""
PARTS = ("slow_sr", "slow_ss", "fast_sr", "fast_ss", "slow_n")
"""rows of the sums: Σ w s r and Σ w s² for both half-lives, and Σ w for the slow one"""


@dataclass(frozen=True)
class Residuals:
    """`sums` float64[..., PARTS, groups] as of `at_ts`."""

    at_ts: float
    sums: Array

    def advanced(self, to_ts: float, added: Array, half_life_s: float) -> Residuals:
        """The sums at `to_ts`, with `added` float64[PARTS, groups] of the traversals known since `at_ts`."""
        return Residuals(to_ts, self.sums * decay(to_ts - self.at_ts, half_life_s)[:, None] + added)


def nothing(at_ts: float) -> Residuals:
    return Residuals(at_ts, np.zeros((len(PARTS), GROUPS)))


def decay(seconds: float, half_life_s: float) -> Array:
    """float64[PARTS]: the factor of each row after some seconds."""
    slow, fast = 0.5 ** (seconds / half_life_s), 0.5 ** (FASTER * seconds / half_life_s)
    return np.array([slow, slow, fast, fast, slow])


@dataclass(frozen=True)
class Probes:
    """Traversals as residuals: `group` and `slot` int64[m]; `residual` and `enter_ts` float64[m]."""

    group: Ints
    slot: Ints
    residual: Array
    enter_ts: Array


def probes_of(graph: RoadGraph, profile: Profile, edge: Ints, enter_ts: Array, seconds: Array, rain: Array) -> Probes:
    """`rain` float64[m] as observed when the edge was entered."""
    slot = profile.slot(enter_ts).astype(np.int64) % SLOTS
    residual = log_ratios(graph, edge, seconds) - profile.edge_log_ratio(graph, edge, slot, rain)
    return Probes(graph.group[edge], slot, residual, enter_ts)


def added_sums(probes: Probes, profile: Profile, known_in: Ints, ends_ts: Array, half_life_s: float) -> Array:
    """float64[k, PARTS, groups]: what the traversals that became known in each of k intervals add at its end.

    `known_in` int64[m] is the interval of each traversal, `ends_ts` float64[k] the intervals' ends.
    """
    spread = profile.spread[probes.slot]
    age = (ends_ts[known_in] - probes.enter_ts) / half_life_s
    slow = np.exp2(-age)
    fast = slow**FASTER
    cell, size = known_in * GROUPS + probes.group, len(ends_ts) * GROUPS
    ss = spread * spread
    sr = spread * probes.residual
    rows = [
        np.bincount(cell, value, size).reshape(-1, GROUPS)
        for value in (slow * sr, slow * ss, fast * sr, fast * ss, slow)
    ]
    return np.stack(rows, axis=1)


def run(before: Residuals, added: Array, ends_ts: Array, half_life_s: float) -> tuple[Array, Residuals]:
    """(sums float64[k, PARTS, groups] at the ends of consecutive intervals, the last state)."""
    found = np.empty_like(added)
    state = before
    for number, at_ts in enumerate(ends_ts.tolist()):
        state = state.advanced(at_ts, added[number], half_life_s)
        found[number] = state.sums
    return found, state
