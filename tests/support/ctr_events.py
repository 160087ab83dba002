"""Ad events in the form that the service writes, and the small catalogue that they refer to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ctr_prediction.events.history import PublicCatalogue
from ctr_prediction.events.schemas import Auction, Click, Impression

START = pd.Timestamp("2026-01-19T00:00:00+00:00").timestamp()
USERS, ADS, CAMPAIGNS = 6, 8, 3


def catalogue() -> PublicCatalogue:
    """Return a catalogue of `USERS` users and `ADS` ads. Ad a belongs to campaign a mod `CAMPAIGNS`."""
    ids, ads, campaigns = np.arange(USERS), np.arange(ADS), np.arange(CAMPAIGNS)
    audience = [[3] if user == 1 else [] for user in ids]
    return PublicCatalogue(
        pd.DataFrame({"user_id": ids, "segment": ids % 2, "age": ids % 6, "gender": ids % 3, "audience": audience}),
        pd.DataFrame({"ad_id": ads, "campaign_id": ads % CAMPAIGNS, "creative_id": ads, "start_ts": START - 1e6}),
        pd.DataFrame({"campaign_id": campaigns, "bid": 0.3 + 0.1 * campaigns, "budget": 10.0}),
        pd.DataFrame({"publisher_id": [0, 1], "slots": [2, 4]}),
    )


def impression(auction_id: int, slot: int = 0, **given: Any) -> Impression:
    """Return an impression of user 1, requested one second after `START` and reported one second later."""
    values: dict[str, Any] = {
        "auction_id": auction_id, "slot": slot, "user_id": 1, "publisher_id": 0, "device": 0, "ad_id": 2,
        "campaign_id": 2, "seen": 0, "bid": 0.5, "price": 0.1, "p_click": 0.02, "policy": "auction_v2",
        "propensity": 1.0, "request_ts": START + 1.0, "seen_ts": START + 2.0,
    }  # fmt: skip
    return Impression(**(values | given))


def click(auction_id: int, slot: int = 0, label_ts: float = START + 3.0, **given: Any) -> Click:
    values: dict[str, Any] = {"user_id": 1, "ad_id": 2, "price": 0.1, "request_ts": START + 1.0}
    return Click(auction_id, slot, label_ts=label_ts, **(values | given))


def auction(**given: Any) -> Auction:
    values: dict[str, Any] = {
        "auction_id": 5, "user_id": 1, "publisher_id": 0, "device": 2, "slots": 2, "seed": 2**53 - 1,
        "request_ts": START + 0.123456, "model_version": "ctr_prediction-smoke/1", "model_digest": "ab",
        "policy": "auction_v2", "is_cold": False, "degraded": ["features_stale"], "knobs": {"model": "teacher"},
        "feature_ts": START, "stats_ts": START, "features": {"segment": [1]}, "ads": "AQAAAA==", "numbers": "",
        "scores": "", "bids": {"1": 0.25}, "chosen": [0], "prices": [1 / 3], "propensity": [1.0],
    }  # fmt: skip
    return Auction(**(values | given))
