"""The model's inputs, computed by the same functions for training and serving: numbers, embedding ids, hashed crosses.

Users, ads and contexts broadcast together: training passes n of each, serving passes one user, one context and n ads.
`NUMERIC` lists the numbers in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import AGE_BANDS, DEVICES, GENDERS, AdFeatures, Context, Floats, Ints, UserFeatures
from infra.columns import DAY_S, HOUR_S

USER_NUMBERS = (
    "user_ctr_log",
    "user_looks_log",
    *(f"age_{name}" for name in AGE_BANDS),
    *(f"gender_{name}" for name in GENDERS),
    "in_audience",
    *(f"device_{name}" for name in DEVICES),
    "hour_cos",
    "hour_sin",
)
PAIR_NUMBERS = ("seen_log",)
AD_NUMBERS = ("ad_ctr_log", "ad_looks_log", "campaign_ctr_log", "campaign_looks_log")
NUMERIC = (*USER_NUMBERS, *PAIR_NUMBERS, *AD_NUMBERS)
HOUR = NUMERIC.index("hour_cos")
PERSON_NUMBERS = HOUR - len(DEVICES)
"""number of leading `USER_NUMBERS` that do not depend on the context"""

DEEP = ("user", "segment", "clock", "publisher", "ad", "campaign", "creative")
"""embedding tables; `clock` holds the effect of the hour per segment"""
WIDE = ("segment_ad", "publisher_hour", "user_ad", "retargeted")
"""cross tables: segment × ad, segment × publisher × hour and user × ad, all three hashed; and `retargeted`, with two
rows: the ad belongs to a shop that the user has visited, or it does not"""
NO_CROSS = 0
"""the row of an absent cross; it has no trainable weight"""


@dataclass(frozen=True)
class Priors:
    """What is known of everyone: `ctr`, the click rate of the first slot, and how often other slots are examined
    relative to the first (`examination`, from the randomised bucket). Rates of few impressions are drawn towards the
    prior, as if `*_strength` examinations at that rate had been seen before."""

    ctr: float
    examination: tuple[float, ...]
    user_strength: float = 150.0
    ad_strength: float = 100.0


def priors_from(values: Mapping[str, Any]) -> Priors:
    """Priors as a file holds them. Raises `KeyError` or `TypeError` if it holds none."""
    return Priors(**{**values, "examination": tuple(values["examination"])})


def top_slot_impressions(shown: Floats, priors: Priors) -> Floats:
    """float32[n]: impressions, each weighted by the examination of its slot relative to the first slot."""
    return np.asarray(shown @ np.asarray(priors.examination, np.float32), np.float32)


def ctr_log(clicks: Floats, examined: Floats, priors: Priors, strength: float) -> Floats:
    """float32[n]: log of the ratio of the smoothed click rate to the global click rate."""
    rate = (clicks + strength * priors.ctr) / (examined + strength)
    return np.asarray(np.log(rate / priors.ctr), np.float32)


def user_numbers(users: UserFeatures, context: Context, priors: Priors) -> Floats:
    """float32[n, USER_NUMBERS]."""
    known, here = person_numbers(users, priors), context_numbers(context)
    rows = max(len(known), len(here))
    parts = (np.broadcast_to(part, (rows, part.shape[1])) for part in (known, here))
    return np.concatenate(list(parts), axis=1)


def person_numbers(users: UserFeatures, priors: Priors) -> Floats:
    """float32[m, PERSON_NUMBERS]: the `USER_NUMBERS` that do not depend on the context."""
    examined, ages = top_slot_impressions(users.shown, priors), 2 + len(AGE_BANDS)
    found = np.empty((len(users), PERSON_NUMBERS), np.float32)
    found[:, 0] = ctr_log(users.clicks, examined, priors, priors.user_strength)
    found[:, 1] = np.log1p(examined) / 4
    found[:, 2:ages] = users.age[:, None] == np.arange(len(AGE_BANDS))
    found[:, ages:-1] = users.gender[:, None] == np.arange(len(GENDERS))
    found[:, -1] = in_audience(users)
    return found


def context_numbers(context: Context) -> Floats:
    """float32[n, other `USER_NUMBERS`]: device and hour."""
    hour = 2 * np.pi * (context.at_ts % DAY_S) / DAY_S
    found = np.zeros((max(len(context.device), len(hour)), len(DEVICES) + 2), np.float32)
    found[:, : len(DEVICES)] = context.device[:, None] == np.arange(len(DEVICES))
    found[:, -2], found[:, -1] = np.cos(hour), np.sin(hour)
    return found


def ad_numbers(ads: AdFeatures, priors: Priors) -> Floats:
    """float32[n, AD_NUMBERS]."""
    own, campaign = top_slot_impressions(ads.shown, priors), top_slot_impressions(ads.campaign_shown, priors)
    columns: list[Floats] = [
        ctr_log(ads.clicks, own, priors, priors.ad_strength),
        np.asarray(np.log1p(own) / 8, np.float32),
        ctr_log(ads.campaign_clicks, campaign, priors, priors.ad_strength),
        np.asarray(np.log1p(campaign) / 8, np.float32),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def pair_numbers(seen: npt.NDArray[np.integer[Any]]) -> Floats:
    """float32[n, PAIR_NUMBERS]: inputs from `seen`, the number of earlier impressions of the ad by the user."""
    found: Floats = np.log2(1.0 + seen).astype(np.float32)[:, None]
    return found


def numeric(
    users: UserFeatures, ads: AdFeatures, context: Context, seen: npt.NDArray[np.integer[Any]], priors: Priors
) -> Floats:
    """float32[n, NUMERIC], for n pairs of user and ad, or one user with n ads."""
    parts = (user_numbers(users, context, priors), pair_numbers(seen), ad_numbers(ads, priors))
    rows = max(len(part) for part in parts)
    return np.concatenate([np.broadcast_to(part, (rows, part.shape[1])) for part in parts], axis=1)


def hour_of(context: Context) -> Ints:
    """int64[n]: hour of the day, UTC."""
    return ((context.at_ts % DAY_S) // HOUR_S).astype(np.int64)


def crosses(
    user_id: Ints, users: UserFeatures, user_cross: str, ad_id: Ints, context: Context, bits: int
) -> dict[str, npt.NDArray[np.int32]]:
    """Table of `WIDE` -> int32[n]: the row of each pair."""
    pair = cross(bits, user_id, ad_id)
    return {
        "segment_ad": cross(bits, users.segment, ad_id),
        "publisher_hour": cross(bits, users.segment, context.publisher, hour_of(context)),
        "user_ad": np.where(user_crosses(users, user_cross), pair, NO_CROSS).astype(np.int32),
        "retargeted": is_retargeted(users.audience, ad_id).astype(np.int32),
    }


def cross(bits: int, *columns: Ints) -> npt.NDArray[np.int32]:
    """int32[n]: 1 + a hash of all columns together into 2 ** bits - 1 rows; row 0 is reserved for no cross.

    Multiply and shift, as in splitmix64 (Steele, Lea and Flood, OOPSLA 2014). The hashing trick accepts collisions
    (Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009).
    """
    key = np.zeros(np.broadcast_shapes(*(np.shape(column) for column in columns)), np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            key = (key ^ np.asarray(column).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            key = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            key ^= key >> np.uint64(32)
    return (1 + key % np.uint64(2**bits - 1)).astype(np.int32)


@lru_cache(maxsize=100_000)
def cross_of(bits: int, *ids: int) -> int:
    """Like `cross`, for one id per column, with a cache: the same publisher and hour occur often."""
    return int(cross(bits, *(np.array([one], np.int64) for one in ids))[0])


def user_crosses(users: UserFeatures, which: str) -> npt.NDArray[np.bool_]:
    """bool[m]: users with user × ad crosses, for the value `which` of the knob `user_cross`."""
    if which == "audience":
        return in_audience(users)
    return np.full(len(users), which == "all")


def is_retargeted(audience: Ints, ad_id: Ints) -> npt.NDArray[np.bool_]:
    """bool[n]: whether each ad belongs to a shop that the user has visited; `audience` int64[n or 1, any]."""
    found: npt.NDArray[np.bool_] = (audience == ad_id[:, None]).any(axis=1)
    return found


def in_audience(users: UserFeatures) -> npt.NDArray[np.bool_]:
    """bool[m]: whether each user has visited an advertiser's shop."""
    found: npt.NDArray[np.bool_] = np.any(users.audience >= 0, axis=1)
    return found
