"""Smoothed rates from raw counts. The feature store holds counts, and only this module smooths them: a post's rates
shrink towards its creator's rates, and a creator's rates towards the global rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import Floats


@dataclass(frozen=True)
class Priors:
    """Prior rates for entities with few events: the global rates of the training data (the last three per click), and
    the weight of each prior in impressions (or clicks). `follow_shares` are the mean shares of follows per topic."""

    click_rate: float
    like_rate: float
    comment_rate: float
    dwell_s: float
    topics: int
    follow_shares: tuple[float, ...]
    strength: float = 20.0
    pair_strength: float = 8.0


def priors_from(meta: Mapping[str, Any]) -> Priors:
    """The priors in a manifest. Raises `KeyError` or `TypeError` if they are missing."""
    return Priors(**{**meta["priors"], "follow_shares": tuple(meta["priors"]["follow_shares"])})


def smoothed(events: npt.ArrayLike, trials: npt.ArrayLike, prior: npt.ArrayLike, strength: float) -> Floats:
    """Events per trial, with `strength` pseudo-trials at the rate `prior` added."""
    rate = (np.asarray(events) + strength * np.asarray(prior)) / (np.asarray(trials) + strength)
    return np.asarray(rate, np.float32)
