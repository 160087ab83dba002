"""The student's first layer for an auction, added up in parts.

A first layer is a sum over inputs, and of an auction's inputs most do not change from bidder to bidder (who asks,
where, when) or from auction to auction (the ad, and what its segment thinks of it). Each part is computed where it
changes: those of the ads once for each set of counts, with those of a segment; a user's when their row is read, a
place's when it is first asked for; and for every pair only what the two have of their own. Ranking systems that look up
what a tower computed before do the same with a whole tower; nothing is approximated here but the order of a sum.
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
    hour_wide,
    none_wide,
    row_of,
    segment_wide,
    shop_wide,
    shops_of,
    user_wide,
    whose,
)
from ctr_prediction.model.artifact import Model
from ctr_prediction.model.inputs import HOUR, NUMERIC, PERSON_NUMBERS
from ctr_prediction.model.student import Student
from infra.columns import DAY_S

KEPT_BIDDERS = 500
"""of each segment, whose sums are kept: more than bid in an auction by default"""


@dataclass(frozen=True)
class OfUser:
    """What a user adds to every bidder, `sums` float32[hidden]; the ads that they have seen, int64[k], and log2(1 + how
    often) float32[k]; the ads of `shops` where they have been, int64[any]; and `has_pairs`, whether an ad may weigh
    more or less with them than with others of their segment."""

    sums: Floats
    seen_ads: Ints
    seen_log: Floats
    shops: Ints
    has_pairs: bool

    def seen_log_of(self, ads: Ints, size: int) -> Floats:
        """float32[n] of each of `ads` int64[n], ids below `size`."""
        found = np.zeros(size, np.float32)
        found[self.seen_ads] = self.seen_log
        return found.take(ads)


@dataclass(frozen=True)
class OfPlace:
    """What a page adds to every bidder, float32[3, hidden]: at any time, by the cosine and by the sine of the hour."""

    sums: Floats

    def at(self, at_ts: float) -> Floats:
        """float32[hidden]: that at one time."""
        hour = 2 * math.pi * (at_ts % DAY_S) / DAY_S
        found: Floats = np.array((1, math.cos(hour), math.sin(hour)), np.float32) @ self.sums
        return found


@dataclass(frozen=True)
class Bidders:
    """Ads that often bid together for one segment: `place` int64[ads] of each among them, -1 for the others, and what
    they and the segment add, `sums` float32[bidders, hidden]."""

    place: Ints
    sums: Floats


@dataclass(frozen=True)
class StudentSide:
    """The student and one model's ads: `of_ads` float32[ads, hidden] is what each ad adds, `of_vectors` the part of it
    that does not change with its counts. `kept` has the bidders of a segment from the first time that somebody asks."""

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
        """The same with other counts."""
        of_counts = row_by_row(side.numbers, self.student.first[FIRST_AD_NUMBER : len(NUMERIC)])
        return replace(self, side=side, of_ads=self.of_vectors + of_counts, kept={})

    @cached_property
    def size(self) -> int:
        """One more than the highest id of an ad."""
        return int(self.side.ad_id.max(initial=-1)) + 1

    @cached_property
    def _of_user(self) -> Floats:
        """float32[any, hidden]: the weights of what a user decides."""
        first, width = len(NUMERIC), sum(self.model.tables[name].shape[1] for name in ("user", "segment", "clock"))
        return np.concatenate([self.student.first[:PERSON_NUMBERS], self.student.first[first : first + width]])

    def of_user(self, user_id: int, user: UserFeatures, person: Floats) -> OfUser:
        """`person` float32[PERSON_NUMBERS] is what `inputs` says of the user."""
        model, segment, shops = self.model, int(user.segment[0]), shops_of(user)
        has_pairs = len(shops) > 0 or whose(shops, model.user_cross)
        tables = zip(("user", "segment", "clock"), (user_id, segment, segment), strict=True)
        columns = np.concatenate([person, *(row_of(model.tables[name], row) for name, row in tables)])
        sums = columns @ self._of_user + self.student.bias
        if not has_pairs:
            sums += none_wide(model) * self.student.first[-1]
        is_ad = (user.seen_ads[0] >= 0) & (user.seen_ads[0] < self.size)
        seen_log = np.log2(1.0 + user.seen_counts[0][is_ad]).astype(np.float32)
        return OfUser(sums, user.seen_ads[0][is_ad], seen_log, shops, has_pairs)

    def of_place(self, segment: int, publisher: int, device: int, hour: int) -> OfPlace:
        """What a page of this publisher adds for someone of this segment, on this device, in this hour of the day."""
        first, model = self.student.first, self.model
        clock, vector = row_of(model.tables["clock"], segment), row_of(model.tables["publisher"], publisher)
        ends = len(NUMERIC) + sum(model.tables[name].shape[1] for name in ASKERS)
        sums = vector @ first[ends - len(vector) : ends] + hour_wide(model, segment, publisher, hour) * first[-1]
        if 0 <= device < len(DEVICES):
            sums += first[PERSON_NUMBERS + device]
        return OfPlace(np.stack([sums, first[HOUR] + clock[0] * first[-3], first[HOUR + 1] + clock[1] * first[-2]]))

    def of_segment(self, rows: Ints, segment: int) -> Floats:
        """float32[n, hidden]: what the ads at `rows` int64[n] add for someone of this segment."""
        first, product = self.student.first, _product(self.model)
        vector = row_of(self.model.tables["segment"], segment)
        sums = row_by_row(self.side.known[rows, product], vector[:, None] * first[product])
        sums += segment_wide(self.model, self.side, rows, segment)[:, None] * first[-1]
        sums += self.of_ads[rows]
        return sums

    def bidders(self, segment: int, eligible: Ints) -> Bidders:
        """The first of those who are `eligible` int64[any] in the segment; computed once."""
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
        """float32[n, hidden]: the first layer before its ReLU, of what `ad_side.inputs` says of the ads at `rows`
        int64[n]. `bidders` has a part of it already, of some ads, bit for bit."""
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
        sums += factors @ np.array(weights)  # one product for all: adding a row to each of n takes longer
        return sums

    def _pairs_wide(self, user_id: int, shops: Ints, ads: Ints) -> Floats | np.float32:
        """float32[n], or one number for all: what the wide part knows of a user and each of `ads` int64[n]."""
        return user_wide(self.model, user_id, shops, ads) + shop_wide(self.model, shops, ads)


def _product(model: Model) -> slice:
    """Where a row of `Model.inputs_of` has the product of the segment's vector and the creative's."""
    return slice(-3 - model.tables["segment"].shape[1], -3)


def row_by_row(x: Floats, weights: Floats) -> Floats:
    """float32[n, k] @ float32[k, hidden], in which each row's sum is the same bit for bit whatever rows stand beside
    it. A matrix product may add up in another order where there are more of them; then no auction could be held again.
    """
    sums = np.zeros((len(x), weights.shape[1]), np.float32)
    for column, weight in zip(x.T, weights, strict=True):
        sums += column[:, None] * weight
    return sums
