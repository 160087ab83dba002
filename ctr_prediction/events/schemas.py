"""Event schemas of the ads' stream. ADR 0011 lists the producers and consumers of each topic.

Times are seconds since the epoch, UTC, of the world clock. An impression repeats the fields of its auction (the app
sends them back). A click arrives later, often much later, and contains the id of its impression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

MAX_PLACES = 16
"""number of slots per page that an event id can encode"""


@dataclass(frozen=True)
class Topics:
    """Topic names of the ads."""

    auctions: str = "ctr_prediction.auctions"
    impressions: str = "ctr_prediction.impressions"
    clicks: str = "ctr_prediction.clicks"
    dead_letters: str = "ctr_prediction.dead_letters"


TOPICS = Topics()


def topics() -> tuple[str, ...]:
    """All topics of the ads."""
    return tuple(getattr(TOPICS, item.name) for item in fields(TOPICS))


@dataclass(frozen=True)
class Impression:
    """An ad shown on a page. `seen` is the number of earlier impressions of the ad by this user, according to the
    auction. A click costs `price`. `seen_ts` is the time when the service received the impression."""

    SCHEMA: ClassVar[str] = "ctr.impression"
    VERSION: ClassVar[int] = 1

    auction_id: int
    slot: int
    user_id: int
    publisher_id: int
    device: int
    ad_id: int
    campaign_id: int
    seen: int
    bid: float
    price: float
    p_click: float
    policy: str
    propensity: float
    request_ts: float
    seen_ts: float

    @property
    def event_id(self) -> str:
        return str(self.number)

    @property
    def number(self) -> int:
        """The impression's id in the log: the auction's id combined with the slot."""
        return self.auction_id * MAX_PLACES + self.slot

    @property
    def event_ts(self) -> float:
        return self.seen_ts

    @property
    def key(self) -> str:
        return str(self.user_id)


@dataclass(frozen=True)
class Click:
    """A click: a positive label and a charge. `label_ts` is the time when the service received the click; the auction
    set `price`."""

    SCHEMA: ClassVar[str] = "ctr.click"
    VERSION: ClassVar[int] = 1

    auction_id: int
    slot: int
    user_id: int
    ad_id: int
    price: float
    request_ts: float
    label_ts: float

    @property
    def event_id(self) -> str:
        return str(self.number)

    @property
    def number(self) -> int:
        """The id of the clicked impression."""
        return self.auction_id * MAX_PLACES + self.slot

    @property
    def event_ts(self) -> float:
        return self.label_ts

    @property
    def key(self) -> str:
        return str(self.user_id)


@dataclass(frozen=True)
class Auction:
    """One auction and its result, with everything that a replay needs.

    `features` are the user's features as served (field of `UserFeatures` -> list). `feature_ts` is the as-of time of
    the user's features (0: defaults), `stats_ts` the as-of time of the ads' counts. `ads` int32[n] are the scored
    bidders, in order; `numbers` float32[n, AD_NUMBERS] are their features and `scores` float32[n] p(click) in the first
    slot. These three arrays are base64 of their bytes (`codec.pack`). `bids` are the bids in the request, by ad.
    `chosen` are the indices in `ads` of the winners, with `prices` and `propensity`. `shadow_of` is the id of the
    auction that the user got, if the challenger of a rollout has computed this one in the shadow; else -1.
    """

    SCHEMA: ClassVar[str] = "ctr.auction"
    VERSION: ClassVar[int] = 2

    auction_id: int
    user_id: int
    publisher_id: int
    device: int
    slots: int
    seed: int
    request_ts: float
    model_version: str
    model_digest: str
    policy: str
    is_cold: bool
    degraded: Sequence[str]
    knobs: Mapping[str, Any]
    feature_ts: float
    stats_ts: float
    features: Mapping[str, Any]
    ads: str
    numbers: str
    scores: str
    bids: Mapping[str, float]
    chosen: Sequence[int]
    prices: Sequence[float]
    propensity: Sequence[float]
    shadow_of: int = -1

    @property
    def event_id(self) -> str:
        return str(self.auction_id)

    @property
    def event_ts(self) -> float:
        return self.request_ts

    @property
    def key(self) -> str:
        return str(self.user_id)
