"""The law of the congestion that a trip meets, given what is known at its departure."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.world.traffic.filter import Posterior
from eta_prediction.world.traffic.process import Traffic


def law_of_z(traffic: Traffic, posterior: Posterior, group: Ints, ahead: Ints) -> tuple[Array, Array]:
    """(mean float64[s], covariance float64[s, s]) of z at the groups `group` int64[s], `ahead` int64[s] steps after the
    posterior's step (from 0).

    For two segments h and h' steps ahead: φ^h V φ^h' + φ^|h - h'| (1 - φ^(2 min(h, h'))) Σ, at their groups.
    """
    phi = traffic.persistence
    fade = phi**ahead
    pair = np.ix_(group, group)
    gap = np.abs(ahead[:, None] - ahead)
    least = np.minimum(ahead[:, None], ahead)
    covariance = (
        fade[:, None] * posterior.covariance[pair] * fade
        + phi**gap * (1 - phi ** (2 * least)) * (traffic.covariance[pair])
    )
    return fade * posterior.mean[group], covariance
