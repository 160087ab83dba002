"""Types that every package of the ads design uses. Ids are row numbers of the public catalogue, int64; times ending in
`_ts` are seconds since the epoch, UTC."""

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
"""slots of the largest page; counts are kept per slot, because users examine the fourth slot less than the first"""
NONE = -1
"""placeholder for an ad: no ad bids, or every bidder is capped, paused or below the reserve"""


@dataclass(frozen=True)
class UserFeatures:
    """Features of m users (serving: one), from the feature store or the defaults.

    int64[m]: `segment`, `age`, `gender`. `audience` int64[m, any]: retargeting ads of shops that the user has visited,
    padded with `NONE`. float32: `shown` [m, SLOTS] impressions per slot, `clicks` [m] reported clicks. `seen_ads`
    int64[m, any] with `seen_counts` and `seen_today`: number of impressions of each ad, in total and in the last day.
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
    """Features of n ads. int64[n]: `campaign`, `creative`. float32: `shown` and `campaign_shown` [n, SLOTS]
    impressions per slot, `clicks` and `campaign_clicks` [n] reported clicks."""

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
    """Context of requests: `publisher`, `device` int64[n] and `at_ts` float64[n]; n = 1 applies to all rows."""

    publisher: Ints
    device: Ints
    at_ts: Array

    @classmethod
    def one(cls, publisher: int, device: int, at_ts: float) -> Context:
        return cls(np.array([publisher]), np.array([device]), np.array([at_ts]))


@dataclass(eq=False)
class AdQuery:
    """One request for an auction of `slots`, with everything that the stages need. Immutable by convention:
    constructing a frozen dataclass is five times slower.

    `seed` determines every random choice of the request. `feature_ts` is the time as of which the user's features are
    computed (0: defaults), `feature_age_s` the age of the read. `exclude` are ads that must not be shown. `candidates`
    int64[any] are the ads that may bid, if the request lists them; `bids` overrides the bids of some ads. `view` is the
    market as all stages of this request read it (`items.catalog.View`). `known` is the user's entry in the feature
    cache (`online.cache.CachedUser`). `read` is the row that was read before the pipeline, or the reason why the read
    failed.
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

    def with_cached_user(self, known: Any, age_s: float) -> AdQuery:
        """The same query with the user's cache entry `known`, read `age_s` ago."""
        return self.but(
            user=known.user, is_cold=known.is_cold, feature_ts=known.feature_ts, known=known, feature_age_s=age_s
        )

    def but(self, **changes: Any) -> AdQuery:
        """A copy of the query with `changes` applied. `dataclasses.replace` is ten times slower."""
        found = object.__new__(AdQuery)
        found.__dict__ = {**self.__dict__, **changes}
        return found
