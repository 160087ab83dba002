"""The dashboard of the feed."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from feed_ranking.design import DESIGN
from scripts.dashboards.panels import THIRD, dashboard, graph
from scripts.dashboards.shared import candidates, feature_age, process_row, requests_row, share

NAME = DESIGN.name
SESSIONS = f'sum(rate(lab_online_sessions_total{{design="{NAME}"}}[5m]))'


def build() -> Dashboard:
    users = (
        graph(
            "Engagement per session",
            "Clicks, likes and comments per session. Empty without users; `lab live feed_ranking` simulates users.",
            {
                "{{kind}}": f'sum by (kind) (rate(lab_online_reactions_total{{design="{NAME}"}}[5m])) '
                f"/ ignoring (kind) group_left {SESSIONS}"
            },
            span=THIRD,
        ),
        graph(
            "Dwell per session",
            "Dwell time after clicks, in seconds per session.",
            {"dwell": share("lab_online_dwell_seconds_total", "lab_online_sessions_total", NAME, "5m")},
            unit="s",
            span=THIRD,
        ),
        graph(
            "Ads and new creators",
            "Share of sessions that end at an ad; share of impressions of posts by creators of the last seven days.",
            {
                "ended by an ad": share(
                    "lab_online_sessions_ended_total", "lab_online_sessions_total", NAME, "5m", part_where=',by="ad"'
                ),
                "by new creators": share(
                    "lab_online_new_creator_impressions_total",
                    "lab_online_impressions_total",
                    NAME,
                    "5m",
                    whole_where=',kind="post"',
                ),
            },
            unit="percentunit",
            span=THIRD,
        ),
    )
    inputs = (
        candidates("Candidates", "Candidates that each stage passes on, per request.", NAME),
        feature_age(
            "Age of the user's row",
            "Age of the feature row when the service reads it, in simulated time. A row older than 48 hours degrades "
            "the answer.",
            NAME,
        ),
    )
    rows = {
        "Requests": requests_row(DESIGN),
        "Inputs": inputs,
        "Process": process_row(NAME, span=THIRD),
        "Users": users,
    }
    return dashboard("feed-ranking", DESIGN.title, rows, design=NAME)
