"""Model inputs of an auction: the ad-dependent part is precomputed per ad, and a request combines it with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import Context, Floats, Ints, UserFeatures
from ctr_prediction.model.artifact import Model
from ctr_prediction.model.inputs import (
    AD_NUMBERS,
    DEEP,
    HOUR,
    NO_CROSS,
    NUMERIC,
    PAIR_NUMBERS,
    PERSON_NUMBERS,
    USER_NUMBERS,
    context_numbers,
    cross,
    cross_of,
    is_retargeted,
    person_numbers,
)
from infra.columns import DAY_S, HOUR_S

SEEN = len(USER_NUMBERS)
FIRST_AD_NUMBER = SEEN + len(PAIR_NUMBERS)
ASKERS = ("user", "segment", "clock", "publisher")
"""tables whose vectors depend on the user and the context; the tables of the ad follow after these"""
assert FIRST_AD_NUMBER + len(AD_NUMBERS) == len(NUMERIC)
assert (*ASKERS, "ad", "campaign", "creative") == DEEP


class HasUserInputs(Protocol):
    """What can be computed once of a user: `person` float32[PERSON_NUMBERS]."""

    @property
    def person(self) -> Floats: ...


@dataclass(frozen=True)
class AdSide:
    """The ad-dependent part of a model's inputs, one row for each of n ads. `numbers` float32[n, AD_NUMBERS]. `known`
    float32[n, inputs] has the numbers and the vectors of ad, campaign and creative at their columns, and the creative's
    vector also at the columns of its product with the segment's vector. `segment_wide` float32[segments, n] is the wide
    weight of each segment and ad."""

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
        """A copy with other counts `numbers`."""
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
    known: HasUserInputs | None = None,
) -> Floats:
    """float32[n, inputs]: bit for bit the result of `Model.inputs_of` for one user and context and the ads at `rows`
    int64[n] of `side`. `seen` int64[n] is the number of earlier impressions of each ad by the user. `known` has the
    user's precomputed values, if any."""
    tables, segment = model.tables, int(user.segment[0])
    here = context_numbers(context)[0]
    mine = row_of(tables["segment"], segment)
    clock = row_of(tables["clock"], segment)
    asker = (row_of(tables["user"], user_id), mine, clock, row_of(tables["publisher"], int(context.publisher[0])))
    person = person_numbers(user, model.priors)[0] if known is None else known.person
    product, first = -3 - len(mine), len(NUMERIC)
    x = side.known.take(rows, axis=0)
    x[:, :SEEN] = np.concatenate((person, here))  # one write is faster than one per part
    x[:, SEEN] = np.log2(1.0 + seen)
    x[:, first : first + sum(map(len, asker))] = np.concatenate(asker)
    x[:, product:-3] *= mine
    x[:, -3:-1] = clock * here[HOUR - PERSON_NUMBERS :]
    x[:, -1] = _wide(model, side, rows, user_id, segment, shops_of(user), context)
    return x


def shops_of(user: UserFeatures) -> Ints:
    """int64[any]: retargeting ads of the shops that the user has visited."""
    audience: Ints = user.audience[0]
    return audience[audience >= 0]


def has_user_cross(shops: Ints, user_cross: str) -> bool:
    """Whether the model has user × ad crosses for a user with `shops`. Same rule as `user_crosses`."""
    return len(shops) > 0 if user_cross == "audience" else user_cross == "all"


def seen_of(user: UserFeatures, ads: Ints, size: int) -> Ints:
    """int64[n]: number of impressions of each of `ads` int64[n] by one user; ids are below `size`."""
    known, counts = user.seen_ads[0], np.zeros(size + 1, np.int64)
    counts[np.where((known >= 0) & (known < size), known, size)] = user.seen_counts[0]
    return counts[ads]


def seen_of_few(user: UserFeatures, ads: Sequence[int]) -> list[int]:
    """Like `seen_of`, for a few ads: plain Python is faster there."""
    known = user.seen_ads[0].tolist()
    return [int(user.seen_counts[0][known.index(ad)]) if ad in known else 0 for ad in ads]


def row_of(table: Floats, row: int) -> Floats:
    found: Floats = table[row] if 0 <= row < len(table) else np.zeros(table.shape[1], np.float32)
    return found


def _wide(model: Model, side: AdSide, rows: Ints, user_id: int, segment: int, shops: Ints, context: Context) -> Floats:
    """float32[n]: the sum of the wide weights, in the order of `WIDE`."""
    ids, hour = side.ad_id[rows], int(context.at_ts[0] % DAY_S // HOUR_S)
    found = segment_wide(model, side, rows, segment) + hour_wide(model, segment, int(context.publisher[0]), hour)
    found += user_wide(model, user_id, shops, ids)
    return np.asarray(found + shop_wide(model, shops, ids), np.float32)


def segment_wide(model: Model, side: AdSide, rows: Ints, segment: int) -> Floats:
    """float32[n]: the weight of the segment × ad cross for each ad."""
    if 0 <= segment < len(side.segment_wide):
        known: Floats = side.segment_wide[segment].take(rows)
        return known
    found: Floats = model.tables["segment_ad"][cross(model.cross_bits, np.array([segment]), side.ad_id[rows])][:, 0]
    return found


def hour_wide(model: Model, segment: int, publisher: int, hour: int) -> np.float32:
    """The weight of the segment × publisher × hour cross."""
    return np.float32(model.tables["publisher_hour"][cross_of(model.cross_bits, segment, publisher, hour), 0])


def user_wide(model: Model, user_id: int, shops: Ints, ads: Ints) -> Floats | np.float32:
    """float32[n], or one number for all: the weight of the user × ad cross for each of `ads` int64[n]."""
    if not has_user_cross(shops, model.user_cross):
        return np.float32(model.tables["user_ad"][NO_CROSS, 0])
    found: Floats = model.tables["user_ad"][cross(model.cross_bits, np.array([user_id]), ads)][:, 0]
    return found


def shop_wide(model: Model, shops: Ints, ads: Ints) -> Floats | np.float32:
    """float32[n], or one number for all: the weight of whether each ad belongs to a shop that the user has visited."""
    weights: Floats = model.tables["retargeted"][:, 0]
    return weights[is_retargeted(shops[None, :], ads).astype(np.int64)] if len(shops) else weights[0]


def none_wide(model: Model) -> np.float32:
    """The sum of `user_wide` and `shop_wide` for users without shops and without user × ad crosses."""
    return np.float32(model.tables["user_ad"][NO_CROSS, 0] + model.tables["retargeted"][0, 0])
