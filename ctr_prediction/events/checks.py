"""Data-quality checks of the ads' log and catalogue (`infra.data_quality.checks` explains the values).

One broken row of the generated history fails the build. Apps send the live log, and its readers drop
duplicates and events of unknown users or ads, so a small share of those is a warning.
"""

from __future__ import annotations

from ctr_prediction.domain import LOGGING_POLICY, RANDOM_POLICY, SLOTS
from infra.data_quality.checks import (
    LogTable,
    Rule,
    Volume,
    holds,
    in_range,
    label_delay,
    not_null,
    one_of,
    refers_to,
)

LONG, REAL, TEXT, AT = "int64", "float", "string", "timestamp[us, tz=UTC]"
LIVE_TOLERATED = 0.05
"""share of unusable live events up to which a build goes on with a warning"""
LATE_S = 86_400.0
"""Clicks are reported hours late. A report after a day is rare, and a rise of their share is a broken pipeline."""

_SHOWN = {
    **dict.fromkeys(("impression_id", "user_id", "publisher_id", "device", "slot", "ad_id", "campaign_id"), LONG),
    "seen": LONG,
    **dict.fromkeys(("price", "propensity"), REAL),
    "policy": TEXT,
    "request_ts": AT,
}


def _shown_rules(tolerated: float) -> tuple[Rule, ...]:
    """The rules of impressions, of the history and of the live log."""
    return (
        not_null("impression_id", "user_id", "ad_id", "slot", "policy", "request_ts", tolerated=tolerated),
        in_range("slot", 0, SLOTS - 1, tolerated=tolerated),
        in_range("seen", 0, 1_000_000, tolerated=tolerated),
        in_range("price", 0.0, 1_000_000.0, tolerated=tolerated),
        in_range("propensity", 0.0, 1.0, tolerated=tolerated),
        refers_to("user_id", "people.user_id", tolerated=tolerated),
        refers_to("ad_id", "ads.ad_id", tolerated=tolerated),
        refers_to("publisher_id", "publishers.publisher_id", tolerated=tolerated),
    )


TABLES = (
    LogTable(
        "people",
        "world",
        "people",
        {"user_id": LONG, "segment": LONG},
        key=("user_id",),
        rules=(not_null("user_id", "segment"),),
    ),
    LogTable(
        "publishers",
        "world",
        "publishers",
        {"publisher_id": LONG, "slots": LONG},
        key=("publisher_id",),
        rules=(in_range("slots", 1, SLOTS),),
    ),
    LogTable(
        "campaigns",
        "world",
        "campaigns",
        {"campaign_id": LONG, "bid": "double", "budget": "double"},
        key=("campaign_id",),
        rules=(
            not_null("campaign_id", "bid", "budget"),
            holds("bid and budget above 0", "bid > 0 AND budget > 0", "bid", "budget"),
        ),
    ),
    LogTable(
        "ads",
        "world",
        "ads",
        {"ad_id": LONG, "campaign_id": LONG, "creative_id": LONG, "start_ts": "double"},
        key=("ad_id",),
        rules=(not_null("ad_id", "start_ts"), refers_to("campaign_id", "campaigns.campaign_id")),
    ),
    LogTable(
        "log",
        "world",
        "log",
        {**_SHOWN, "clicked": "bool", "label_ts": AT},
        key=("impression_id",),
        rules=(
            *_shown_rules(0.0),
            one_of("policy", (LOGGING_POLICY, RANDOM_POLICY)),
            holds("a click has a report time", "clicked = (label_ts IS NOT NULL)", "clicked", "label_ts"),
            label_delay("request_ts", "label_ts", LATE_S, expected=0.005, tolerated=0.02),
        ),
        volume=Volume(),
    ),
    LogTable(
        "live_shown",
        "live",
        "shown",
        {**_SHOWN, "seen_ts": AT},
        key=("impression_id",),
        rules=(
            *_shown_rules(LIVE_TOLERATED),
            label_delay("request_ts", "seen_ts", LATE_S, tolerated=LIVE_TOLERATED),
        ),
        tolerated=LIVE_TOLERATED,
    ),
    LogTable(
        "live_clicks",
        "live",
        "clicks",
        {**dict.fromkeys(("impression_id", "user_id", "ad_id"), LONG), "label_ts": AT},
        key=("impression_id",),
        rules=(
            not_null("impression_id", "label_ts", tolerated=LIVE_TOLERATED),
            refers_to("impression_id", "live_shown.impression_id", tolerated=0.5),
        ),
        tolerated=0.5,
    ),
)
"""An app repeats a click that was not acknowledged, and a click may arrive before its impression. Both are warnings in
the live log up to half of the clicks."""
