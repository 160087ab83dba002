"""All that can be bid for, as requests see it: a snapshot of the ads, and what has been counted of them since.

What does not depend on the user is computed once for each set of counts, for every ad: its numbers, its vectors, its
memory of each segment. A request then gathers rows. Counts are replaced as a whole (`Market.apply`); a request takes
one *view* and reads everything from it, so that no lock is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ctr_prediction.auction_rules import day_passed, pace
from ctr_prediction.bundle import Bundle, Model
from ctr_prediction.domain import AdFeatures, Array, Context, Floats, Ints, UserFeatures
from ctr_prediction.inputs import (
    AD_NUMBERS,
    DAY_S,
    DEEP,
    HOUR,
    HOUR_S,
    NO_CROSS,
    NUMERIC,
    PAIR_NUMBERS,
    PERSON_NUMBERS,
    USER_NUMBERS,
    ad_numbers,
    context_numbers,
    cross,
    cross_of,
    person_numbers,
    user_crosses,
)
from ctr_prediction.live_stats import LiveStats
from ctr_prediction.snapshot import Snapshot

SEEN = len(USER_NUMBERS)
FIRST_AD_NUMBER = SEEN + len(PAIR_NUMBERS)
ASKERS = ("user", "segment", "clock", "publisher")
"""the tables whose vectors whoever asks decides; those of the ad follow them"""
assert FIRST_AD_NUMBER + len(AD_NUMBERS) == len(NUMERIC)
assert (*ASKERS, "ad", "campaign", "creative") == DEEP


class Known(Protocol):
    """What can be computed once of a user: `person` float32[PERSON_NUMBERS], and whether they have been at a shop."""

    @property
    def person(self) -> Floats: ...

    @property
    def has_audience(self) -> bool: ...


@dataclass(frozen=True)
class AdSide:
    """The part of a model's inputs that an ad decides, a row for each of n ads: `numbers` float32[n, AD_NUMBERS], and
    `known` float32[n, inputs] with these and the vectors of ad, campaign and creative in their places, the creative's
    once more where its product with the segment's will stand. `segment_wide` float32[segments, n] is the wide weight
    of each segment with each ad."""

    ad_id: Ints
    numbers: Floats
    known: Floats
    segment_wide: Floats

    @classmethod
    def of(cls, model: Model, ad_id: Ints, campaign: Ints, creative: Ints, numbers: Floats) -> AdSide:
        tables, segments = model.tables, np.arange(len(model.tables["segment"]))
        own = tables["creative"][creative]
        pairs = cross(model.cross_bits, segments[:, None], ad_id[None, :])
        askers = sum(tables[name].shape[1] for name in ASKERS)
        parts: list[npt.NDArray[Any]] = [
            np.zeros((len(ad_id), FIRST_AD_NUMBER)),
            numbers,
            np.zeros((len(ad_id), askers)),
            tables["ad"][ad_id],
            tables["campaign"][campaign],
            own,
            own,
            np.zeros((len(ad_id), 3)),
        ]
        known = np.concatenate(parts, axis=1, dtype=np.float32)
        return cls(ad_id, numbers, known, tables["segment_ad"][pairs][:, :, 0])

    def counted(self, numbers: Floats) -> AdSide:
        """The same with other counts."""
        known = self.known.copy()
        known[:, FIRST_AD_NUMBER : len(NUMERIC)] = numbers
        return replace(self, numbers=numbers, known=known)


def inputs(
    model: Model,
    side: AdSide,
    rows: Ints,
    user_id: int,
    user: UserFeatures,
    context: Context,
    seen: Ints,
    known: Known | None = None,
) -> Floats:
    """float32[n, inputs]: what `Model.inputs_of` computes, bit for bit, for one user and context and the ads at `rows`
    int64[n] of `side`, which the user has `seen` int64[n] times. `known` has what can be known of the user before."""
    tables, segment = model.tables, int(user.segment[0])
    here = context_numbers(context)[0]
    mine = _row(tables["segment"], segment)
    clock = _row(tables["clock"], segment)
    asker = (_row(tables["user"], user_id), mine, clock, _row(tables["publisher"], int(context.publisher[0])))
    person = person_numbers(user, model.priors)[0] if known is None else known.person
    product, first = -3 - len(mine), len(NUMERIC)
    x = side.known.take(rows, axis=0)
    x[:, :SEEN] = np.concatenate((person, here))  # a write for each part takes longer than all of them as one
    x[:, SEEN] = np.log2(1.0 + seen)
    x[:, first : first + sum(map(len, asker))] = np.concatenate(asker)
    x[:, product:-3] *= mine
    x[:, -3:-1] = clock * here[HOUR - PERSON_NUMBERS :]
    has_cross = user_crosses(user, model.user_cross)[0] if known is None else whose(known, model.user_cross)
    x[:, -1] = _wide(model, side, rows, user_id, segment, context, has_cross=bool(has_cross))
    return x


def whose(known: Known, user_cross: str) -> bool:
    """Whether the pairs of this user with ads are crossed, as `user_crosses` says."""
    return known.has_audience if user_cross == "audience" else user_cross == "all"


def seen_of(user: UserFeatures, ads: Ints, size: int) -> Ints:
    """int64[n]: how often one user was shown each of `ads` int64[n], of `size` that there are."""
    known, counts = user.seen_ads[0], np.zeros(size + 1, np.int64)
    counts[np.where((known >= 0) & (known < size), known, size)] = user.seen_counts[0]
    return counts[ads]


def _row(table: Floats, row: int) -> Floats:
    found: Floats = table[row] if 0 <= row < len(table) else np.zeros(table.shape[1], np.float32)
    return found


def _wide(
    model: Model, side: AdSide, rows: Ints, user_id: int, segment: int, context: Context, *, has_cross: bool
) -> Floats:
    """float32[n], added up in the order of `WIDE`."""
    tables, bits, ids = model.tables, model.cross_bits, side.ad_id[rows]
    if 0 <= segment < len(side.segment_wide):
        found = side.segment_wide[segment][rows]
    else:
        found = tables["segment_ad"][cross(bits, np.array([segment]), ids)][:, 0]
    hour = cross_of(bits, segment, int(context.publisher[0]), int(context.at_ts[0] % DAY_S // HOUR_S))
    found = found + tables["publisher_hour"][hour, 0]
    if has_cross:
        return np.asarray(found + tables["user_ad"][cross(bits, np.array([user_id]), ids)][:, 0], np.float32)
    return np.asarray(found + tables["user_ad"][NO_CROSS, 0], np.float32)


@dataclass(frozen=True)
class View:
    """The market as of `stats_ts`. `debiased` and `undebiased` are the sides of the two models; `eligible` int64[any]
    for each segment: the ads that pay for it and have started, best first by bid × click rate so far; `pace`
    float64[campaigns]: how often each should bid; `is_spent` bool[campaigns]: whose budget is gone."""

    stats_ts: float
    debiased: AdSide
    undebiased: AdSide
    eligible: Sequence[Ints]
    pace: Array
    is_spent: np.ndarray[tuple[int], np.dtype[np.bool_]]


class Market:
    """Ads that can be shown, by id."""

    def __init__(self, snapshot: Snapshot, bundle: Bundle) -> None:
        self.snapshot, self._priors = snapshot, bundle.debiased.priors
        self.bid: Array = snapshot.bid[snapshot.campaign]
        """float64[ads]: what each ad's campaign bids per click"""
        self._lock = threading.Lock()
        ads, numbers = np.arange(len(snapshot.campaign)), self._numbers(snapshot.stats)
        sides = [
            AdSide.of(model, ads, snapshot.campaign, snapshot.creative, numbers)
            for model in (bundle.debiased, bundle.undebiased)
        ]
        self.view = self._view(sides[0], sides[1], snapshot.stats)

    def apply(self, stats: LiveStats) -> bool:
        """Count anew as of a later time; False if it is not later, or of other ads."""
        with self._lock:
            if stats.stats_ts <= self.view.stats_ts or len(stats.ad_clicks) != len(self.snapshot.campaign):
                return False
            numbers = self._numbers(stats)
            debiased, undebiased = (x.counted(numbers) for x in (self.view.debiased, self.view.undebiased))
            self.view = self._view(debiased, undebiased, stats)
            return True

    def _numbers(self, stats: LiveStats) -> Floats:
        campaign = self.snapshot.campaign
        known = AdFeatures(
            campaign,
            self.snapshot.creative,
            stats.ad_shown,
            stats.ad_clicks,
            stats.campaign_shown[campaign],
            stats.campaign_clicks[campaign],
        )
        return ad_numbers(known, self._priors)

    def _view(self, debiased: AdSide, undebiased: AdSide, stats: LiveStats) -> View:
        snapshot = self.snapshot
        worth = np.log(self.bid) + debiased.numbers[:, 0]
        order = np.argsort(-worth, kind="stable")
        order = order[snapshot.start_ts[order] <= stats.stats_ts]
        pays = snapshot.targets[snapshot.campaign[order]]
        return View(
            stats.stats_ts,
            debiased,
            undebiased,
            [order[pays[:, segment]] for segment in range(pays.shape[1])],
            pace(stats.spent, snapshot.budget, day_passed(snapshot.hourly, stats.stats_ts % DAY_S)),
            stats.spent >= snapshot.budget,
        )
