"""The exact posterior of z given all probes so far: a Kalman filter over all groups together.

A probe is the mean log pace of n traversals of a group in a step, without C and W: y = A z + N(0, probe_noise² / n).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import GROUPS, Array
from eta_prediction.world.traffic.process import Traffic


@dataclass(frozen=True)
class Posterior:
    """z of a step given the probes up to that step: mean float64[groups], covariance float64[groups, groups]."""

    mean: Array
    covariance: Array


def prior(traffic: Traffic) -> Posterior:
    return Posterior(np.zeros(GROUPS), traffic.covariance)


def follow(traffic: Traffic, before: Posterior, probe: Array, count: Array, swing: float) -> Posterior:
    """The posterior of the next step. `probe` float64[groups] counts only where `count` float64[groups] is positive."""
    phi = traffic.persistence
    mean = phi * before.mean
    covariance = phi**2 * before.covariance + (1 - phi**2) * traffic.covariance
    seen = np.flatnonzero(count > 0)
    if not len(seen):
        return Posterior(mean, covariance)
    noise = traffic.config.probe_noise**2 / count[seen]
    among = swing**2 * covariance[np.ix_(seen, seen)] + np.diag(noise)
    gain = np.linalg.solve(among, swing * covariance[seen]).T
    covariance = covariance - gain @ (swing * covariance[seen])
    return Posterior(mean + gain @ (probe[seen] - swing * mean[seen]), (covariance + covariance.T) / 2)
