"""The logging policy of the generated history. It is random enough for off-policy learning from its log.

`auction_v1` bids for some eligible ads and ranks them by bid × click rate so far, with noise: a Plackett-Luce draw
(`infra.simulation.draws`). Its click rate ignores the slot, so it overrates ads that stood in the first slot. A random
`randomised_share` of requests is filled by `uniform_v1` instead. The propensity of an ad is
P(it comes next | policy, pool, ads drawn before it), exact for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import NONE, Array, Ints
from ctr_prediction.world.truth import World
from infra.simulation.draws import is_double, plackett_luce

PRIOR_CTR, PRIOR_IMPRESSIONS = 0.02, 200.0


@dataclass(frozen=True)
class Eligible:
    """`ads` int64[segments, most]: the ads that target each segment, ordered by start, padded with `NONE`."""

    ads: Ints

    @classmethod
    def of(cls, world: World) -> Eligible:
        pays = world.campaigns.targets[world.ads.campaign].T
        lists = [np.flatnonzero(row) for row in pays]
        padded = np.full((len(lists), max(map(len, lists))), NONE, np.int64)
        for row, found in enumerate(lists):
            padded[row, : len(found)] = found
        return cls(padded)

    def started(self, ads_there: int) -> Ints:
        """int64[segments]: number of started ads in each row, if the first `ads_there` of all ads have started."""
        found: Ints = ((self.ads >= 0) & (self.ads < ads_there)).sum(axis=1)
        return found


@dataclass(frozen=True)
class Standing:
    """The logging policy's counts of each ad: impressions and reported clicks, float64[ads]."""

    impressions: Array
    clicks: Array

    @cached_property
    def ctr(self) -> Array:
        found: Array = (self.clicks + PRIOR_CTR * PRIOR_IMPRESSIONS) / (self.impressions + PRIOR_IMPRESSIONS)
        return found


@dataclass(frozen=True)
class Drawn:
    """Slates of n requests, all arrays [n, k]: `ads` int64, `NONE` for an empty slot; `propensity` and `price` (per
    click) float64."""

    ads: Ints
    propensity: Array
    price: Array


def draw_pool(world: World, rng: np.random.Generator, users: Ints, eligible: Eligible, ads_there: int) -> Ints:
    """int64[n, m]: random eligible ads and the user's retargeting ads, padded with `NONE`."""
    segment = world.people.segment[users]
    count = eligible.started(ads_there)[segment]
    place = (rng.random((len(users), world.config.pool_size)) * count[:, None]).astype(np.int64)
    drawn = np.where(count[:, None] > 0, eligible.ads[segment[:, None], place], NONE)
    return np.concatenate([drawn, world.retargeting.ads[users]], axis=1)


def auction(
    world: World,
    rng: np.random.Generator,
    pool: Ints,
    standing: Standing,
    is_paused: npt.NDArray[np.bool_],
    is_random: npt.NDArray[np.bool_],
) -> Drawn:
    """Fill as many slots as the largest page has. `is_paused` bool[campaigns]: the budget is spent.

    An ad pays the lowest price that beats the best ad behind it, at most its bid (generalised second price: Edelman,
    Ostrovsky and Schwarz, 2007).
    """
    config, slots = world.config, max(world.config.slots)
    safe = np.maximum(pool, 0)
    campaign = world.ads.campaign[safe]
    ctr = standing.ctr[safe]
    revenue = world.campaigns.bid[campaign] * ctr
    is_out = (pool == NONE) | is_double(pool) | is_paused[campaign]
    is_out |= ~is_random[:, None] & (revenue < config.reserve)
    logits = np.where(is_random[:, None], 0.0, np.log(revenue) / config.policy_noise)
    logits[is_out] = -np.inf
    top, propensity = plackett_luce(rng, logits, slots)
    order = np.take_along_axis(np.where(is_out, -np.inf, revenue), top, 1)
    left = np.where(is_out, 0.0, revenue)
    np.put_along_axis(left, top, 0.0, axis=1)
    behind = np.maximum.accumulate(
        np.concatenate([np.maximum(order[:, 1:], 0.0), left.max(axis=1, keepdims=True)], axis=1)[:, ::-1], axis=1
    )[:, ::-1]
    bid = np.take_along_axis(world.campaigns.bid[campaign], top, 1)
    price = np.minimum(np.maximum(behind, config.reserve) / np.take_along_axis(ctr, top, 1), bid)
    ads = np.where(np.isfinite(order), np.take_along_axis(pool, top, 1), NONE)
    return Drawn(ads, propensity, price)
