"""The dashboard of the ads."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from ctr_prediction.design import DESIGN
from scripts.dashboards.panels import QUARTER, THIRD, dashboard, graph
from scripts.dashboards.shared import candidates, feature_age, process_row, requests_row, share

NAME = DESIGN.name
IMPRESSIONS = "lab_online_impressions_total"
RANDOM = ',policy="uniform_v1"'


def build() -> Dashboard:
    cached = (
        f'histogram_quantile(0.99, sum by (le) (rate(lab_feature_cache_age_seconds_bucket{{design="{NAME}"}}[5m])))'
    )
    inputs = (
        candidates("Bidders", "Ads that each stage passes on, per auction.", NAME),
        feature_age(
            "Age of the user's row",
            "p50 and p99: age of the feature row when the service reads it, in simulated time; a row older than 48 "
            "hours degrades the answer. Cached: time since the service read a cached row; after 60 seconds the service "
            "reads the row again, unless the store is down.",
            NAME,
            {"p99 since read, cached": cached},
        ),
    )
    cache = graph(
        "Feature cache",
        "Lookups by result: hit, miss, expired (the service reads the row again), stale (the store does not answer, so "
        "the service uses an expired row).",
        {"{{result}}": f'sum by (result) (rate(lab_feature_cache_lookups_total{{design="{NAME}"}}[1m]))'},
        unit="reqps",
        span=QUARTER,
    )
    users = (
        graph(
            "Click rate",
            "Reported clicks per impression, and the mean predicted click probability. Empty without users; "
            "`lab live ctr_prediction` simulates users.",
            {
                "clicked": share("lab_online_clicks_total", IMPRESSIONS, NAME, "5m"),
                "predicted": share("lab_online_predicted_clicks_total", IMPRESSIONS, NAME, "5m"),
            },
            unit="percentunit",
            span=THIRD,
        ),
        graph(
            "Predicted / observed clicks",
            "Predicted clicks per reported click over the last hour; 1 is exact. Three in ten clicks are reported "
            "hours later, so the ratio starts above 1.",
            {"predicted / observed": share("lab_online_predicted_clicks_total", "lab_online_clicks_total", NAME, "1h")},
            span=THIRD,
        ),
        graph(
            "Revenue and random ads",
            "Revenue per 1,000 impressions, from reported clicks; and the share of impressions whose ad the service "
            "chose at random, in percent.",
            {
                "revenue per 1,000": f"1000 * {share('lab_online_revenue_total', IMPRESSIONS, NAME, '5m')}",
                "random, %": f"100 * {share(IMPRESSIONS, IMPRESSIONS, NAME, '5m', part_where=RANDOM)}",
            },
            span=THIRD,
        ),
    )
    rows = {"Requests": requests_row(DESIGN), "Inputs": inputs, "Process": process_row(NAME, cache), "Users": users}
    return dashboard("ctr-prediction", DESIGN.title, rows, design=NAME)
