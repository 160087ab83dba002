"""The events of the ads, as they travel on the stream. ADR 0011 says who writes and who reads them.

Times are seconds since the epoch, UTC, by the world's clock. An impression carries all that was known when its auction
was held (the app sends back what it was given); a click comes later, often much later, and names its impression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

MAX_PLACES = 16
"""slots of one page that an event id can tell apart"""


@dataclass(frozen=True)
class Topics:
    """The topics of this design."""

    auctions: str = "ctr_prediction.auctions"
    impressions: str = "ctr_prediction.impressions"
    clicks: str = "ctr_prediction.clicks"
    dead_letters: str = "ctr_prediction.dead_letters"


TOPICS = Topics()


def topics() -> tuple[str, ...]:
    """All of them."""
    return tuple(getattr(TOPICS, item.name) for item in fields(TOPICS))


@dataclass(frozen=True)
class Impression:
    """An ad that was on a page. `seen` is how often this user had been shown it before, as the auction knew; `price`
    is due when it is clicked. `seen_ts` is when the service heard of it."""

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
        """The impression's id in the log: the auction's id and the slot."""
        return self.auction_id * MAX_PLACES + self.slot

    @property
    def event_ts(self) -> float:
        return self.seen_ts

    @property
    def key(self) -> str:
        return str(self.user_id)


@dataclass(frozen=True)
class Click:
    """A click: a label, and money. `label_ts` is when the service heard of it; `price` as the auction had set it."""

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
        """The id of the impression that was clicked."""
        return self.auction_id * MAX_PLACES + self.slot

    @property
    def event_ts(self) -> float:
        return self.label_ts

    @property
    def key(self) -> str:
        return str(self.user_id)


@dataclass(frozen=True)
class Auction:
    """One auction as it was held, complete enough to be held again.

    `features` are the user's as served (field of `UserFeatures` -> list); `feature_ts` is the time that they speak for
    (0: defaults), `stats_ts` that of the ads' counts. `ads` int32[n] are the bidders that were scored, in order, and
    `numbers` float32[n, AD_NUMBERS] what was known of them; `scores` float32[n] are the probabilities of a click in the
    first slot: all three as base64 of their bytes (`predictions.pack`). `bids` are those that the request named, by
    ad, where it named any. `chosen` are the places in `ads` of those that won, with `prices` and `propensity` each.
    """

    SCHEMA: ClassVar[str] = "ctr.auction"
    VERSION: ClassVar[int] = 1

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

    @property
    def event_id(self) -> str:
        return str(self.auction_id)

    @property
    def event_ts(self) -> float:
        return self.request_ts

    @property
    def key(self) -> str:
        return str(self.user_id)
