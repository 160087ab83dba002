"""The rules that make a slate of a ranked batch. Pure functions on arrays, each with one promise to be tested.

They stand beside both wings because both run them: serving draws slates (`online/rerank.py`), and what was drawn is
drawn again from the log (`offline/replay.py`). Two copies would drift apart, and a replay would prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import RerankConfig
from feed_ranking.domain import Floats, Ids
from feed_ranking.model.inputs import ranker_names

Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
FRESH_HALF_LIFE_H = 6.0
NEW_CREATOR_DAYS = 7.0


def is_by_new_creator(inputs: Floats, topics: int) -> Bools:
    """bool[n]: whose creator joined in the last days; `inputs` float32[n, ranker inputs]."""
    age: Bools = inputs[:, ranker_names(topics).index("creator_age_log")] < np.log1p(NEW_CREATOR_DAYS)
    return age


def first_of_each(ids: Ids) -> Bools:
    """bool[n]: True where an id of `ids` int64[n] appears for the first time."""
    keep = np.zeros(len(ids), bool)
    keep[np.unique(ids, return_index=True)[1]] = True
    return keep


def with_freshness(score: Floats, age_h: npt.NDArray[np.float64], weight: float) -> Floats:
    """`score` float32[n], raised by `weight` for a post of now, by half of it for one of six hours, and so on."""
    return np.asarray(score * (1.0 + weight * np.exp2(-np.maximum(age_h, 0.0) / FRESH_HALF_LIFE_H)), np.float32)


def with_repeat_discount(score: Floats, creators: Ids, discount: float) -> Floats:
    """`score` float32[n], times `discount` ** m for a creator's post that m better posts of the creator precede.

    Sorting by the result equals picking one by one the best of what the discount has left.
    """
    return np.asarray(score * discount ** rank_in_group(score, creators), np.float32)


def rank_in_group(score: Floats, groups: Ids) -> npt.NDArray[np.int64]:
    """int64[n]: how many of the same group score higher, or as high and come first."""
    order = np.lexsort((np.arange(len(score)), -score, groups))
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.intp)
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    return rank


@dataclass(frozen=True)
class Filled:
    """`chosen` int64[k]: positions in the ranked list; `propensity` float64[k]: probability of each choice, given the
    choices above it; `explored` bool[k]."""

    chosen: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]
    explored: Bools


class _Left:
    """What is left to choose from, place by place. `best` is the best of it, n where nothing is."""

    def __init__(self, creators: Ids, is_new: Bools, creator_cap: int, epsilon: float) -> None:
        self._creators, self._is_new, self._cap, self._epsilon = creators, is_new, creator_cap, epsilon
        self._explorable = np.flatnonzero(is_new) if epsilon > 0 else np.empty(0, np.intp)
        self._shown: dict[int, int] = {}
        self.allowed = np.ones(len(creators), bool)
        self.best = 0

    def options(self) -> Places:
        """The posts that exploration may choose."""
        return self._explorable[self.allowed[self._explorable]]

    def propensity(self, pick: int, options: int) -> float:
        """Of choosing `pick` for the next place, where exploration has so many options."""
        share = self._epsilon if options else 0.0
        by_chance = share / options if options and self._is_new[pick] else 0.0
        return (1.0 - share) * (pick == self.best) + by_chance

    def take(self, pick: int) -> None:
        self.allowed[pick] = False
        creator = int(self._creators[pick])
        self._shown[creator] = self._shown.get(creator, 0) + 1
        if self._shown[creator] >= self._cap:
            self.allowed[self._creators == creator] = False
        while self.best < len(self.allowed) and not self.allowed[self.best]:
            self.best += 1


def fill_slots(
    creators: Ids, is_new: Bools, k: int, *, creator_cap: int, epsilon: float, rng: np.random.Generator
) -> Filled:
    """Choose `k` of n ranked posts (best first), at most `creator_cap` of one creator.

    Each place goes to the best post that is left, or with probability `epsilon` to any post of a new creator that is
    left (`is_new` bool[n]), each as likely as the others. Where none is left, the best post has the place for sure.
    """
    left = _Left(creators, is_new, creator_cap, epsilon)
    chosen: list[int] = []
    propensity: list[float] = []
    explored: list[bool] = []
    while len(chosen) < k and left.best < len(creators):
        options = left.options()
        explores = len(options) > 0 and rng.random() < epsilon
        pick = int(options[rng.integers(len(options))]) if explores else left.best
        chosen.append(pick)
        propensity.append(left.propensity(pick, len(options)))
        explored.append(explores)
        left.take(pick)
    return Filled(np.array(chosen, np.int64), np.array(propensity), np.array(explored, bool))


def slate_choices(
    creators: Ids, is_new: Bools, chosen: Places, *, creator_cap: int, epsilon: float
) -> npt.NDArray[np.float64]:
    """float64[k, n]: how probable each of n ranked posts is for each place under `fill_slots` with these rules, given
    what stands above it in `chosen` int64[k]."""
    left = _Left(creators, is_new, creator_cap, epsilon)
    probability = np.zeros((len(chosen), len(creators)))
    for row, pick in zip(probability, chosen.tolist(), strict=True):
        if left.best < len(creators):
            options = left.options()
            share = epsilon if len(options) else 0.0
            row[options] = share / max(len(options), 1)
            row[left.best] += 1.0 - share
        left.take(pick)
    return probability


def slate_propensity(
    creators: Ids, is_new: Bools, chosen: Places, *, creator_cap: int, epsilon: float
) -> npt.NDArray[np.float64]:
    """float64[k]: how probable each of `chosen` int64[k] is under `fill_slots` with these rules, given those above it.

    For the rules that it was drawn by, that is the propensity that `fill_slots` returned; for others, what they would
    have given the same choices on the same ranked list: the ratio of the two weighs the log for another policy. 0 for
    a choice that the rules could not make.
    """
    left = _Left(creators, is_new, creator_cap, epsilon)
    propensity = np.zeros(len(chosen))
    for place, pick in enumerate(chosen.tolist()):
        if left.allowed[pick]:
            propensity[place] = left.propensity(pick, len(left.options()))
        left.take(pick)
    return propensity


def fill_at_random(n: int, k: int, rng: np.random.Generator) -> Filled:
    """Choose `k` of n posts, whatever they are: each that is left is as likely as the others, for every place.

    No other rule applies, so that chance alone decides what such a slate shows.
    """
    chosen = rng.permutation(n)[:k].astype(np.int64)
    return Filled(chosen, 1.0 / (n - np.arange(len(chosen))), np.zeros(len(chosen), bool))


def ad_places(k: int, ads: int, gap: int) -> list[int]:
    """Positions (from 0) of a slate of `k` that hold ads: at most `ads`, `gap` posts before each, never the last."""
    return [gap + place * (gap + 1) for place in range(min(ads, (k - 1) // (gap + 1)))]


def draw_slate(
    score: Floats,
    creators: Ids,
    age_h: npt.NDArray[np.float64],
    is_new: Bools,
    k: int,
    rules: RerankConfig,
    seed: int,
    *,
    uniform: bool = False,
) -> Filled:
    """The organic part of a slate of `k`, ads left out, from a batch of n posts; `chosen` are places in that batch.

    `score` float32[n] is what a look is worth, `age_h` float64[n]; `is_new` bool[n]: by a new creator. `uniform` draws
    the slates of the randomised bucket. The seed decides every choice: the same batch and seed give the same slate.
    """
    rng, places = np.random.default_rng([seed, 0]), k - len(ad_places(k, rules.ads, rules.ad_gap))
    if uniform:
        return fill_at_random(len(score), places, rng)
    fresh = with_freshness(score, age_h, rules.freshness_weight)
    order = np.argsort(-with_repeat_discount(fresh, creators, rules.repeat_discount), kind="stable")
    filled = fill_slots(
        creators[order], is_new[order], places, creator_cap=rules.creator_cap, epsilon=rules.epsilon, rng=rng
    )
    return Filled(order[filled.chosen].astype(np.int64), filled.propensity, filled.explored)
