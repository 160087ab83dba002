"""How counts become rates. Raw counts are stored; how little of them is trusted is decided here, once: a post's rates
are smoothed towards its creator's, a creator's towards everyone's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import Floats


@dataclass(frozen=True)
class Priors:
    """What is assumed of someone of whom little is known: the rates of everyone in the training data (the last three
    per click), and how many impressions (or clicks) that assumption weighs. `follow_shares` are the mean shares of
    follows per topic."""

    click_rate: float
    like_rate: float
    comment_rate: float
    dwell_s: float
    topics: int
    follow_shares: tuple[float, ...]
    strength: float = 20.0
    pair_strength: float = 8.0


def priors_from(meta: Mapping[str, Any]) -> Priors:
    """The priors that a manifest holds. Raises `KeyError` or `TypeError` if it holds none."""
    return Priors(**{**meta["priors"], "follow_shares": tuple(meta["priors"]["follow_shares"])})


def smoothed(events: npt.ArrayLike, trials: npt.ArrayLike, prior: npt.ArrayLike, strength: float) -> Floats:
    """Events per trial, as if `strength` trials at the rate `prior` had been seen before."""
    rate = (np.asarray(events) + strength * np.asarray(prior)) / (np.asarray(trials) + strength)
    return np.asarray(rate, np.float32)
