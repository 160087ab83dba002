"""The slate policy: rules that turn a ranked batch into a slate. Pure functions on arrays.

Serving draws slates with these functions (`online/rerank.py`), and the replay draws the logged slates again with the
same ones (`evaluation/live/replay.py`). With two copies a replay would prove nothing.
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
    """bool[n]: True for posts whose creator joined in the last days; `inputs` float32[n, ranker inputs]."""
    return is_new(inputs[:, ranker_names(topics).index("creator_age_log")])


def is_new(creator_age_log: Floats) -> Bools:
    """bool[n]: True for creators who joined in the last days."""
    found: Bools = creator_age_log < np.log1p(NEW_CREATOR_DAYS)
    return found


def first_of_each(ids: Ids) -> Bools:
    """bool[n]: True at the first occurrence of each id of `ids` int64[n]."""
    keep = np.zeros(len(ids), bool)
    keep[np.unique(ids, return_index=True)[1]] = True
    return keep


def with_freshness(score: Floats, age_h: npt.NDArray[np.float64], weight: float) -> Floats:
    """float32[n]: `score` × (1 + `weight` × 2 ** (-age / 6 h)), so a post of now gains a share of `weight`."""
    return np.asarray(score * (1.0 + weight * np.exp2(-np.maximum(age_h, 0.0) / FRESH_HALF_LIFE_H)), np.float32)


def with_repeat_discount(score: Floats, creators: Ids, discount: float) -> Floats:
    """float32[n]: `score` × `discount` ** m, where m is the number of higher-scored posts of the same creator.

    Sorting by the result equals greedy selection with the discount applied after each pick.
    """
    return np.asarray(score * discount ** rank_in_group(score, creators), np.float32)


def rank_in_group(score: Floats, groups: Ids) -> npt.NDArray[np.int64]:
    """int64[n]: number of items of the same group with a higher score, or with an equal score and a lower index."""
    order = np.lexsort((np.arange(len(score)), -score, groups))
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.intp)
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    return rank


@dataclass(frozen=True)
class Filled:
    """`chosen` int64[k]: indices in the ranked list; `propensity` float64[k]: probability of each choice, given the
    choices above it; `explored` bool[k]: whether exploration made the choice."""

    chosen: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]
    explored: Bools


class _Left:
    """The posts that may still be chosen while a slate is filled. `best` is the best of them, n if none is left."""

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
        """Probability that the policy picks `pick` for the next place; exploration can choose from `options` posts."""
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

    Each place goes to the best remaining post. With probability `epsilon` it goes instead to a remaining post of a new
    creator (`is_new` bool[n]), drawn uniformly. If no such post remains, the best post takes the place.
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
    """float64[k, n]: probability of each of n ranked posts for each place under `fill_slots` with these rules, given
    the posts above that place in `chosen` int64[k]."""
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
    """float64[k]: probability of each of `chosen` int64[k] under `fill_slots` with these rules, given those above it.

    With the logging policy's rules, this equals the propensity that `fill_slots` returned. With other rules it is the
    target policy's propensity on the same ranked list; the ratio of the two is the importance weight for off-policy
    evaluation. It is 0 for a choice that the rules cannot make.
    """
    left = _Left(creators, is_new, creator_cap, epsilon)
    propensity = np.zeros(len(chosen))
    for place, pick in enumerate(chosen.tolist()):
        if left.allowed[pick]:
            propensity[place] = left.propensity(pick, len(left.options()))
        left.take(pick)
    return propensity


def fill_at_random(n: int, k: int, rng: np.random.Generator) -> Filled:
    """Choose `k` of n posts uniformly at random without replacement.

    No other rule applies, so chance alone decides the slate.
    """
    chosen = rng.permutation(n)[:k].astype(np.int64)
    return Filled(chosen, 1.0 / (n - np.arange(len(chosen))), np.zeros(len(chosen), bool))


def ad_places(k: int, ads: int, gap: int) -> list[int]:
    """Ad positions (from 0) in a slate of `k`: at most `ads`, with `gap` posts before each, never the last position."""
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
    """The organic part of a slate of `k`, without ads, from a batch of n posts; `chosen` are indices in that batch.

    `score` float32[n] is the value of an examined impression, `age_h` float64[n] the age, `is_new` bool[n] True for
    posts by new creators. `uniform` draws a slate of the randomised bucket. The same batch and seed give the same
    slate.
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
