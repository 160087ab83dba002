"""Words that all rooms of the design share. Ids are rows of the world's tables, int64; times ending in `_ts` are
seconds since the epoch, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import AuctionConfig, PredictConfig, TargetConfig
from infra.resilience.deadline import Deadline

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

LOGGING_POLICY, RANDOM_POLICY = "auction_v1", "uniform_v1"
SERVING_POLICY = "auction_v2"
DEVICES = ("phone", "tablet", "desktop")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("f", "m", "x")
SLOTS = 4
"""on the largest page; counts are kept by slot, since a look at the fourth is worth less than one at the first"""
NONE = -1
"""in the place of an ad: nobody bid, or all that bid are capped, paused or below the reserve"""


@dataclass(frozen=True)
class UserFeatures:
    """What is known of m users (serving: one), from the feature store or declared defaults.

    int64[m]: `segment`, `age`, `gender`. `audience` int64[m, any]: ads of shops that they have been at, padded with
    `NONE`. float32: `shown` [m, SLOTS] impressions in each slot, `clicks` [m] that were reported. `seen_ads` int64[m,
    any] with `seen_counts` and `seen_today`: how often each ad was shown to them, ever and in the last day.
    """

    segment: Ints
    age: Ints
    gender: Ints
    audience: Ints
    shown: Floats
    clicks: Floats
    seen_ads: Ints
    seen_counts: Ints
    seen_today: Ints

    def __len__(self) -> int:
        return len(self.segment)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> UserFeatures:
        return UserFeatures(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class AdFeatures:
    """What is known of n ads. int64[n]: `campaign`, `creative`. float32: `shown` and `campaign_shown` [n, SLOTS]
    impressions in each slot, `clicks` and `campaign_clicks` [n] that were reported."""

    campaign: Ints
    creative: Ints
    shown: Floats
    clicks: Floats
    campaign_shown: Floats
    campaign_clicks: Floats

    def __len__(self) -> int:
        return len(self.campaign)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> AdFeatures:
        return AdFeatures(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class Context:
    """Where and when ads are asked for: `publisher`, `device` int64[n] and `at_ts` float64[n]; n = 1 serves all."""

    publisher: Ints
    device: Ints
    at_ts: Array

    @classmethod
    def one(cls, publisher: int, device: int, at_ts: float) -> Context:
        return cls(np.array([publisher]), np.array([device]), np.array([at_ts]))


@dataclass(eq=False)
class AdQuery:
    """One request for an auction of `slots`, with all that the stages need to know of it. Nobody changes one; it is not
    frozen, since Python takes five times as long to make a frozen one.

    `seed` decides every random choice that is made for it. `feature_ts` is the time that the user's features speak for
    (0: defaults), `feature_age_s` how long ago they were read; `exclude` are ads that must not be shown. `candidates`
    int64[any] are the ads that may bid, where the request names them, and `bids` what it says that some of them bid.
    `view` is the market as all stages of this request see it (`market.View`); `known` is what the feature cache holds
    of the user (`online.cache.CachedUser`), `read` what was read of the user before the pipeline, or why nothing was.
    """

    user_id: int
    slots: int
    context: Context
    seed: int
    deadline: Deadline
    target: TargetConfig
    predict: PredictConfig
    auction: AuctionConfig
    user: UserFeatures
    is_cold: bool = True
    auction_id: int = 0
    policy: str = SERVING_POLICY
    knobs: Mapping[str, Any] = field(default_factory=dict)
    feature_ts: float = 0.0
    feature_age_s: float = 0.0
    exclude: tuple[int, ...] = ()
    candidates: Ints | None = None
    bids: Mapping[int, float] = field(default_factory=dict)
    view: Any = None
    known: Any = None
    read: Any = None

    @property
    def now_ts(self) -> float:
        return float(self.context.at_ts[0])

    def knowing(self, known: Any, age_s: float) -> AdQuery:
        """The same query, and who is asking."""
        return self.but(
            user=known.user, is_cold=known.is_cold, feature_ts=known.feature_ts, known=known, feature_age_s=age_s
        )

    def but(self, **changes: Any) -> AdQuery:
        """The same query with other values in some of its fields. `dataclasses.replace` takes ten times as long."""
        found = object.__new__(AdQuery)
        found.__dict__ = {**self.__dict__, **changes}
        return found
