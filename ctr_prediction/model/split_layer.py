"""The student's first layer for an auction, computed as a sum of cached parts.

A first layer is a sum over inputs. In an auction most inputs are equal for all bidders (user, context) or for all
auctions (ad, segment). Each part is computed only when its inputs change: the ad and segment parts once per set of
counts, the user part when the row is read, the page part at its first use, and per pair only the pair's own inputs. It
is the same idea as precomputed tower outputs in ranking systems. The result is exact up to the order of the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ctr_prediction.domain import DEVICES, Floats, Ints, UserFeatures
from ctr_prediction.model.ad_inputs import (
    ASKERS,
    FIRST_AD_NUMBER,
    SEEN,
    AdSide,
    has_user_cross,
    hour_wide,
    none_wide,
    row_of,
    segment_wide,
    shop_wide,
    shops_of,
    user_wide,
)
from ctr_prediction.model.artifact import Model
from ctr_prediction.model.inputs import HOUR, NUMERIC, PERSON_NUMBERS
from ctr_prediction.model.student import Student
from infra.columns import DAY_S

KEPT_BIDDERS = 500
"""bidders per segment with cached sums; more than an auction has by default"""


@dataclass(frozen=True)
class OfUser:
    """The user part, equal for all bidders: `sums` float32[hidden]; the ads that the user has seen, int64[k], with
    log2(1 + impressions) float32[k]; the ads of the visited `shops`, int64[any]; and `has_pairs`, whether the user has
    inputs per ad (user × ad crosses or shops)."""

    sums: Floats
    seen_ads: Ints
    seen_log: Floats
    shops: Ints
    has_pairs: bool

    def seen_log_of(self, ads: Ints, size: int) -> Floats:
        """float32[n]: log2(1 + impressions) of each of `ads` int64[n], ids below `size`."""
        found = np.zeros(size, np.float32)
        found[self.seen_ads] = self.seen_log
        return found.take(ads)


@dataclass(frozen=True)
class OfPlace:
    """The page part, equal for all bidders, float32[3, hidden]: constant, times the cosine and times the sine of the
    hour."""

    sums: Floats

    def at(self, at_ts: float) -> Floats:
        """float32[hidden]: the page part at the time `at_ts`."""
        hour = 2 * math.pi * (at_ts % DAY_S) / DAY_S
        found: Floats = np.array((1, math.cos(hour), math.sin(hour)), np.float32) @ self.sums
        return found


@dataclass(frozen=True)
class Bidders:
    """The frequent bidders of one segment: `place` int64[ads] is the index of each ad among them (-1: none), and `sums`
    float32[bidders, hidden] is the part of the ads and the segment."""

    place: Ints
    sums: Floats


@dataclass(frozen=True)
class StudentSide:
    """The student with the ads of one model: `of_ads` float32[ads, hidden] is the part of each ad, `of_vectors` the
    share of it that does not depend on counts. `kept` caches the bidders of each segment at the first use."""

    student: Student
    model: Model
    side: AdSide
    of_vectors: Floats
    of_ads: Floats
    kept: dict[int, Bidders] = field(default_factory=dict)

    @classmethod
    def of(cls, student: Student, model: Model, side: AdSide) -> StudentSide:
        first, product = len(NUMERIC) + sum(model.tables[name].shape[1] for name in ASKERS), _product(model)
        columns = slice(first, product.start)
        of_vectors = row_by_row(side.known[:, columns], student.first[columns])
        return cls(student, model, side, of_vectors, of_vectors).counted(side)

    def counted(self, side: AdSide) -> StudentSide:
        """A copy with the counts of `side`."""
        of_counts = row_by_row(side.numbers, self.student.first[FIRST_AD_NUMBER : len(NUMERIC)])
        return replace(self, side=side, of_ads=self.of_vectors + of_counts, kept={})

    @cached_property
    def size(self) -> int:
        """One more than the highest ad id."""
        return int(self.side.ad_id.max(initial=-1)) + 1

    @cached_property
    def _of_user(self) -> Floats:
        """float32[any, hidden]: the weights of the user-dependent inputs."""
        first, width = len(NUMERIC), sum(self.model.tables[name].shape[1] for name in ("user", "segment", "clock"))
        return np.concatenate([self.student.first[:PERSON_NUMBERS], self.student.first[first : first + width]])

    def of_user(self, user_id: int, user: UserFeatures, person: Floats) -> OfUser:
        """The user part. `person` float32[PERSON_NUMBERS] comes from `inputs.person_numbers`."""
        model, segment, shops = self.model, int(user.segment[0]), shops_of(user)
        has_pairs = len(shops) > 0 or has_user_cross(shops, model.user_cross)
        tables = zip(("user", "segment", "clock"), (user_id, segment, segment), strict=True)
        columns = np.concatenate([person, *(row_of(model.tables[name], row) for name, row in tables)])
        sums = columns @ self._of_user + self.student.bias
        if not has_pairs:
            sums += none_wide(model) * self.student.first[-1]
        is_ad = (user.seen_ads[0] >= 0) & (user.seen_ads[0] < self.size)
        seen_log = np.log2(1.0 + user.seen_counts[0][is_ad]).astype(np.float32)
        return OfUser(sums, user.seen_ads[0][is_ad], seen_log, shops, has_pairs)

    def of_place(self, segment: int, publisher: int, device: int, hour: int) -> OfPlace:
        """The page part for a segment, publisher, device and hour of the day."""
        first, model = self.student.first, self.model
        clock, vector = row_of(model.tables["clock"], segment), row_of(model.tables["publisher"], publisher)
        ends = len(NUMERIC) + sum(model.tables[name].shape[1] for name in ASKERS)
        sums = vector @ first[ends - len(vector) : ends] + hour_wide(model, segment, publisher, hour) * first[-1]
        if 0 <= device < len(DEVICES):
            sums += first[PERSON_NUMBERS + device]
        return OfPlace(np.stack([sums, first[HOUR] + clock[0] * first[-3], first[HOUR + 1] + clock[1] * first[-2]]))

    def of_segment(self, rows: Ints, segment: int) -> Floats:
        """float32[n, hidden]: the part of the ads at `rows` int64[n] and of the segment."""
        first, product = self.student.first, _product(self.model)
        vector = row_of(self.model.tables["segment"], segment)
        sums = row_by_row(self.side.known[rows, product], vector[:, None] * first[product])
        sums += segment_wide(self.model, self.side, rows, segment)[:, None] * first[-1]
        sums += self.of_ads[rows]
        return sums

    def bidders(self, segment: int, eligible: Ints) -> Bidders:
        """The cached sums of the first `KEPT_BIDDERS` of the `eligible` int64[any] ads of the segment."""
        found = self.kept.get(segment)
        if found is None:
            rows, place = eligible[:KEPT_BIDDERS], np.full(len(self.of_ads), -1)
            place[rows] = np.arange(len(rows))
            found = self.kept[segment] = Bidders(place, self.of_segment(rows, segment))
        return found

    def sums(
        self,
        rows: Ints,
        user_id: int,
        segment: int,
        of_user: OfUser,
        of_place: OfPlace,
        at_ts: float,
        bidders: Bidders | None = None,
    ) -> Floats:
        """float32[n, hidden]: the first layer before its ReLU, for the inputs that `ad_inputs.inputs` computes for the
        ads at `rows` int64[n]. `bidders` holds cached sums of some ads; the result is the same bit for bit."""
        if bidders is None or not len(bidders.sums):
            sums = self.of_segment(rows, segment)
        else:
            place = bidders.place.take(rows)
            sums = bidders.sums.take(place, axis=0)
            if place.min(initial=0) < 0:
                others = np.flatnonzero(place < 0)
                sums[others] = self.of_segment(rows[others], segment)
        ads, first = self.side.ad_id.take(rows), self.student.first
        factors = np.empty((len(ads), 2 + of_user.has_pairs), np.float32)
        factors[:, 0] = 1
        factors[:, 1] = of_user.seen_log_of(ads, self.size)
        weights = [of_place.at(at_ts) + of_user.sums, first[SEEN]]
        if of_user.has_pairs:
            factors[:, 2] = self._pairs_wide(user_id, of_user.shops, ads)
            weights.append(first[-1])
        sums += factors @ np.array(weights)  # one matrix product is faster than n row additions
        return sums

    def _pairs_wide(self, user_id: int, shops: Ints, ads: Ints) -> Floats | np.float32:
        """float32[n], or one number for all: the wide weights of the pairs of a user and each of `ads` int64[n]."""
        return user_wide(self.model, user_id, shops, ads) + shop_wide(self.model, shops, ads)


def _product(model: Model) -> slice:
    """The columns of `Model.inputs_of` with the product of the segment's and the creative's vectors."""
    return slice(-3 - model.tables["segment"].shape[1], -3)


def row_by_row(x: Floats, weights: Floats) -> Floats:
    """float32[n, k] @ float32[k, hidden], with each row's result independent of the other rows bit for bit. A matrix
    product may sum in another order for another number of rows, and then a replay would not be exact."""
    sums = np.zeros((len(x), weights.shape[1]), np.float32)
    for column, weight in zip(x.T, weights, strict=True):
        sums += column[:, None] * weight
    return sums
