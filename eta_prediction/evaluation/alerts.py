"""Alerts of ride ETA beside its budgets: an old traffic feed, a wrong coverage, a biased prediction."""

from __future__ import annotations

from eta_prediction.config import SMALL
from infra.telemetry.alerts.expressions import Absolute, Expression, Increase, Latest, Number
from infra.telemetry.alerts.rule import MINUTE_S, TICKET, AlertRule
from infra.telemetry.alerts.samples import Selection

WINDOW_S = 30 * MINUTE_S
"""In the first half hour the arrived trips are the short ones, so only a deviation of another half hour counts."""
MISSED_STATES = 4
COVERAGE, COVERAGE_OFF, FEWEST_TRIPS = 0.8, 0.1, 300
BIAS_OFF, FEWEST_OF_A_KIND = 0.15, 100
"""A mean differs from a median by a few percent, so the limit of the bias leaves room for that."""


def _count(name: str, *by: str) -> Expression:
    return Increase(Selection.of(f"lab_online_{name}_total", design="eta_prediction"), WINDOW_S, by)


ALERTS = (
    AlertRule(
        "TrafficFeedOld",
        Latest(Selection.of("lab_traffic_age_seconds", design="eta_prediction")).above(
            MISSED_STATES * SMALL.features.speeds_every_s
        ),
        TICKET,
        "{{ $labels.design }}: the newest state of the roads is {{ $value | humanizeDuration }} old",
        "GET /healthz of eta-worker returns the last error of each consumer; docker compose logs eta-worker.",
        60.0,
    ),
    AlertRule(
        "CoverageOff",
        Absolute(
            _count("covered_trips", "design") / _count("judged_trips", "design").at_least(FEWEST_TRIPS)
            - Number(COVERAGE)
        ).above(COVERAGE_OFF),
        TICKET,
        "{{ $labels.design }}: the share of trips between P10 and P90 is {{ $value | humanizePercentage }} away from "
        f"{COVERAGE * 100:g}%",
        "Compare the slices on the dashboard; a new build calibrates the intervals on the newest days.",
        WINDOW_S,
    ),
    AlertRule(
        "BiasTooHigh",
        Absolute(
            _count("predicted_minutes", "design", "ride_type") / _count("actual_minutes", "design", "ride_type")
            - Number(1)
        )
        .above(BIAS_OFF)
        .when(_count("judged_trips", "design", "ride_type").at_least(FEWEST_OF_A_KIND)),
        TICKET,
        "{{ $labels.design }}: {{ $labels.ride_type }} rides deviate from P50 by {{ $value | humanizePercentage }} on "
        "average",
        "Read the bias by hours and weather on the dashboard, and the age of the traffic.",
        WINDOW_S,
    ),
)
