"""The auction rules: which ad wins which slot, and the price of a click. Pure functions of arrays.

Generalised second price (Edelman, Ostrovsky and Schwarz, American Economic Review 2007; Varian, 2007): the auction
ranks ads by bid × p(click in the first slot), and each winner pays the lowest price per click that keeps its place. An
overestimated p ranks an ad too high and lowers its price, so miscalibration costs revenue. The examination probability
of a slot does not change the order; it decides whether an ad meets the reserve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import Array, Floats, Ints

PACING_SLACK = 0.05
"""share of a day's budget by which spending may be ahead of the day's traffic before a campaign stops bidding"""
GOLDEN, MIX, MIX_MORE = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
LOW_64 = 2**64 - 1


@dataclass(frozen=True)
class Held:
    """The result for the k filled slots, from the top: `chosen` int64[k] indices of bidders; `price` float64[k] per
    click; `propensity` float64[k], P(this ad in this slot | policy, bidders, ads above)."""

    chosen: Ints
    price: Array
    propensity: Array


def run_auction(
    relevance: Floats,
    bids: Array,
    examination: Floats,
    slots: int,
    reserve: float,
    pricing: str,
    seed: int,
    *,
    uniform: bool,
) -> Held:
    """`relevance` float32[n]: p(click) in the first slot; `bids` float64[n] per click; `examination` float32[any]: how
    often each slot is examined, relative to the first; `reserve`: lowest expected revenue of an impression.

    If the ad of a slot earns less than the reserve at its bid, that slot and all lower slots stay empty. With `uniform`
    the slots are filled uniformly at random; there is no competition then, so an ad pays the reserve.
    """
    n = min(slots, len(relevance))
    score = bids * relevance
    if uniform:
        chosen = np.random.default_rng([seed, 1]).permutation(len(relevance))[:n]
        least = reserve / (examination[:n] * np.maximum(relevance[chosen], 1e-12))
        return Held(chosen, np.minimum(least, bids[chosen]), 1.0 / (len(relevance) - np.arange(n)))
    # plain Python from here on: it is faster than numpy for so few slots, and faster than sorting all bidders
    best_first, ranked = best(score, n + 1)
    look, count = examination.tolist(), 0
    while count < n and look[count] * ranked[count] >= reserve:
        count += 1
    won, behind = best_first[:count], [*ranked[1:], 0.0]
    price = [float(bids[place]) for place in won]
    if pricing == "second":
        for slot, place in enumerate(won):
            needed = max(behind[slot], reserve / look[slot]) / max(float(relevance[place]), 1e-12)
            price[slot] = min(needed, price[slot])
    return Held(np.array(won, np.int64), np.array(price, np.float64), np.ones(count))


def best(score: Array, count: int) -> tuple[list[int], list[float]]:
    """Indices and values of the `count` largest of `score` float64[n], in descending order; ties go to the lower
    index."""
    left, places, values = score.copy(), [], []
    for _ in range(min(count, len(score))):
        place = int(left.argmax())
        places.append(place)
        values.append(float(left[place]))
        left[place] = -np.inf
    return places, values


def day_passed(hourly: Array, at_s: float) -> float:
    """Share of a day's traffic before `at_s` (seconds since midnight); `hourly` float64[24] sums to 1."""
    hour, rest = divmod(at_s / 3600.0, 1.0)
    return float(hourly[: int(hour)].sum() + rest * hourly[int(hour) % 24])


def pace(spent: Array, budget: Array, passed: float) -> Array:
    """float64[campaigns] in 0..1: the probability that each campaign bids. A campaign that spends ahead of the day's
    traffic bids less often, so its budget lasts until the evening (budget pacing by probabilistic throttling: Agarwal
    et al., KDD 2014)."""
    found: Array = np.clip(1.0 - (spent / budget - passed) / PACING_SLACK, 0.0, 1.0)
    found[spent >= budget] = 0.0
    return found


def drawn_below(share: Array, campaign: Ints, seed: int) -> npt.NDArray[np.bool_]:
    """bool[n]: whether each `campaign` int64[n] bids, with probability `share` float64[n]. The draw is the same for all
    ads of a campaign and for equal `seed`s."""
    key = (campaign.astype(np.uint64) + np.uint64(seed)) * np.uint64(GOLDEN)  # arrays of integers overflow silently
    key = (key ^ (key >> np.uint64(29))) * np.uint64(MIX)
    key ^= key >> np.uint64(32)
    found: npt.NDArray[np.bool_] = (key >> np.uint64(11)) * 2.0**-53 < share
    return found


def chance(seed: int) -> float:
    """A number in [0, 1) determined by `seed` (SplitMix64: Steele, Lea and Flood, OOPSLA 2014). Creating a numpy
    generator takes thirty times as long."""
    key = (seed + GOLDEN) & LOW_64
    key = (key ^ (key >> 30)) * MIX & LOW_64
    key = (key ^ (key >> 27)) * MIX_MORE & LOW_64
    return float((key ^ (key >> 31)) >> 11) * 2.0**-53
