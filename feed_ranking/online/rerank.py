"""Stage 4, rerank: a slate is more than its best posts. Rules that look at the whole list stand here.

Each rule is a pure function on arrays, so that its promise can be tested by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import FeedQuery, Floats, Ids
from feed_ranking.live import Catalogue
from feed_ranking.online.cut import is_by_new_creator
from infra.pipeline.candidates import Candidates

Bools = npt.NDArray[np.bool_]
FRESH_HALF_LIFE_H = 6.0


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


def fill_slots(
    creators: Ids, is_new: Bools, k: int, *, creator_cap: int, epsilon: float, rng: np.random.Generator
) -> Filled:
    """Choose `k` of n ranked posts (best first), at most `creator_cap` of one creator.

    Each place goes to the best post that is left, or with probability `epsilon` to any post of a new creator that is
    left (`is_new` bool[n]), each as likely as the others. Where none is left, the best post has the place for sure.
    """
    allowed = np.ones(len(creators), bool)
    explorable = np.flatnonzero(is_new)
    shown: dict[int, int] = {}
    chosen: list[int] = []
    propensity: list[float] = []
    explored: list[bool] = []
    greedy = 0
    while len(chosen) < k:
        while greedy < len(creators) and not allowed[greedy]:
            greedy += 1
        if greedy == len(creators):
            break
        options = explorable[allowed[explorable]] if epsilon > 0 else explorable[:0]
        share = epsilon if len(options) else 0.0
        explores = share > 0 and rng.random() < share
        pick = int(options[rng.integers(len(options))]) if explores else greedy
        by_chance = share / len(options) if len(options) and is_new[pick] else 0.0
        chosen.append(pick)
        propensity.append((1.0 - share) * (pick == greedy) + by_chance)
        explored.append(explores)
        allowed[pick] = False
        creator = int(creators[pick])
        shown[creator] = shown.get(creator, 0) + 1
        if shown[creator] >= creator_cap:
            allowed[creators == creator] = False
    return Filled(np.array(chosen, np.int64), np.array(propensity), np.array(explored, bool))


def ad_places(k: int, ads: int, gap: int) -> list[int]:
    """Positions (from 0) of a slate of `k` that hold ads: at most `ads`, `gap` posts before each, never the last."""
    return [gap + place * (gap + 1) for place in range(min(ads, (k - 1) // (gap + 1)))]


@dataclass(frozen=True)
class SlateSelector:
    """Freshness, repetition, then place by place: the organic part of the slate, which leaves room for the ads."""

    catalogue: Catalogue
    topics: int
    name: str = "slate"

    def select(self, query: FeedQuery, candidates: Candidates) -> tuple[Candidates, dict[str, int]]:
        rules, unique = query.rerank, candidates.take(first_of_each(candidates.ids))
        creators = self.catalogue.creator_id(unique.ids)
        age_h = (query.now_ts - self.catalogue.column("published_ts", unique.ids)) / 3600
        score = with_freshness(unique.columns["score"], age_h, rules.freshness_weight)
        score = with_repeat_discount(score, creators, rules.repeat_discount)
        order = np.argsort(-score, kind="stable")
        ranked = unique.take(order)
        filled = fill_slots(
            creators[order],
            is_by_new_creator(ranked.columns["inputs"], self.topics),
            query.k - len(ad_places(query.k, rules.ads, rules.ad_gap)),
            creator_cap=rules.creator_cap,
            epsilon=rules.epsilon,
            rng=np.random.default_rng([query.seed, 0]),
        )
        slate = ranked.take(filled.chosen).with_columns(
            propensity=filled.propensity.astype(np.float32), explored=filled.explored.astype(np.float32)
        )
        removed = {"double": len(candidates) - len(unique), "below_the_slate": len(unique) - len(slate)}
        return slate, removed
