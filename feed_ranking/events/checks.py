"""Data-quality checks of the feed's log and catalogue (`infra.data_quality.checks` explains the values).

One broken row of the generated history fails the build. Apps send the live log, and its readers drop
duplicates and implausible events, so a small share of those is a warning.
"""

from __future__ import annotations

from feed_ranking.domain import LOGGING_POLICY, RANDOM_POLICY
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

LONG, REAL, FLAG, TEXT, AT = "int64", "float", "bool", "string", "timestamp[us, tz=UTC]"
LONGEST_DWELL_S = 3_600.0
LIVE_TOLERATED = 0.05
"""share of unusable live events up to which a build goes on with a warning"""
LIVE_DELAY_S = 86_400.0

_EVENT = {
    **dict.fromkeys(("event_id", "session_id", "slate_id", "user_id", "post_id", "creator_id", "ad_id"), LONG),
    **dict.fromkeys(("position", "depth", "creator_before"), LONG),
    "policy": TEXT,
    "propensity": REAL,
    **dict.fromkeys(("request_ts", "event_ts", "label_ts"), AT),
    **dict.fromkeys(("clicked", "liked", "commented", "left"), FLAG),
    "dwell_s": REAL,
}
_POST = {
    **dict.fromkeys(("post_id", "creator_id", "topic", "media"), LONG),
    "published_ts": "double",
}
_IDS = ("user_id", "post_id", "position", "policy", "request_ts", "label_ts")


def _event_rules(tolerated: float, *posts: str) -> tuple[Rule, ...]:
    """The rules of impressions with their labels; `posts` are the columns with the known post ids."""
    return (
        not_null(*_IDS, tolerated=tolerated),
        in_range("position", 0, 999, tolerated=tolerated),
        holds("depth at least position", "depth >= position", "depth", "position", tolerated=tolerated),
        in_range("creator_before", 0, 1_000_000, tolerated=tolerated),
        in_range("propensity", 0.0, 1.0, tolerated=tolerated),
        in_range("dwell_s", 0.0, LONGEST_DWELL_S, tolerated=tolerated),
        holds("an item is a post or an ad", "(post_id >= 0) <> (ad_id >= 0)", "post_id", "ad_id", tolerated=tolerated),
        refers_to("user_id", "people.user_id", tolerated=tolerated),
        refers_to("post_id", *posts, unless="post_id < 0", tolerated=tolerated),
    )


TABLES = (
    LogTable(
        "people",
        "world",
        "people",
        {"user_id": LONG, "region": LONG},
        key=("user_id",),
        rules=(not_null("user_id", "region"),),
    ),
    LogTable(
        "creators",
        "world",
        "creators",
        {"creator_id": LONG, "topic": LONG, "region": LONG, "joined_ts": "double"},
        key=("creator_id",),
        rules=(not_null("creator_id", "topic", "joined_ts"),),
    ),
    LogTable(
        "posts",
        "world",
        "posts",
        _POST,
        key=("post_id",),
        rules=(not_null(*_POST), refers_to("creator_id", "creators.creator_id")),
    ),
    LogTable(
        "follows",
        "world",
        "follows",
        {"user_id": LONG, "creator_id": LONG, "since_ts": "double"},
        key=("user_id", "creator_id"),
        rules=(refers_to("user_id", "people.user_id"), refers_to("creator_id", "creators.creator_id")),
    ),
    LogTable(
        "log",
        "world",
        "log",
        _EVENT,
        key=("event_id",),
        rules=(
            *_event_rules(0.0, "posts.post_id"),
            one_of("policy", (LOGGING_POLICY, RANDOM_POLICY)),
            label_delay("event_ts", "label_ts", 3_600.0),
        ),
        volume=Volume(),
    ),
    LogTable("live_posts", "live", "posts", _POST, key=("post_id",), rules=(not_null(*_POST),), tolerated=1.0),
    LogTable(
        "live_log",
        "live",
        "log",
        _EVENT,
        key=("event_id",),
        rules=(
            *_event_rules(LIVE_TOLERATED, "posts.post_id", "live_posts.post_id"),
            label_delay("event_ts", "label_ts", LIVE_DELAY_S, tolerated=LIVE_TOLERATED),
        ),
        tolerated=LIVE_TOLERATED,
    ),
)
"""A live post arrives again when an app repeats its request, so duplicates of `live_posts` are warnings only."""
