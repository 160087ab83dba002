"""Rules from the budgets of a design. No limit is typed twice.

Availability and latency alert by *burn rate* (Google's SRE workbook, chapter 5): the share of bad requests divided by
the share that the budget allows. An alert needs the rate in a long window, so that a short spike does not page, and in
a short window, so that it ends soon after its cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.utils import floatToGoString

from infra.design import Design
from infra.telemetry.alerts.expressions import Clock, Expression, Recorded, duration
from infra.telemetry.alerts.rule import (
    AFTERMATH_S,
    DAY_S,
    FEWEST_ANSWERS,
    HOUR_S,
    MINUTE_S,
    PAGE,
    TICKET,
    AlertRule,
    RecordRule,
    increase,
)

LATENCY, AVAILABILITY, DEGRADED = "p99_ms", "success_share", "degraded_share"
SLOW_ALLOWED = 0.01
"""A p99 budget allows one slow request in a hundred."""
FEWEST = 100
"""Requests in the long window below which no budget is judged: one failure of ten requests is no trend."""
IN_TIME, FAILED = "design:lab_request_seconds:in_time_share", "design:lab_responses:failed_share"
DEGRADED_SHARE = "design:lab_responses:degraded_share"


@dataclass(frozen=True)
class Burn:
    """One pair of windows. `rate` is the burn rate from which on the alert fires."""

    name: str
    short_s: float
    long_s: float
    rate: float
    severity: str


BURNS = (
    Burn("fast", 5 * MINUTE_S, HOUR_S, 14.4, PAGE),
    Burn("slow", 30 * MINUTE_S, 6 * HOUR_S, 6.0, PAGE),
    Burn("steady", 2 * HOUR_S, DAY_S, 3.0, TICKET),
)
"""The workbook's windows without the last one (6 hours and 3 days, rate 1): a lab rarely runs for three days, and a
window that is longer than the run shows the same as the window before it."""
WINDOWS_S = tuple(sorted({window for burn in BURNS for window in (burn.short_s, burn.long_s)}))


COUNTED = ("ok", "degraded", "shed", "failed")
"""Outcomes that count for availability. A rejected request is the client's fault."""


def _failed_share(window_s: float) -> Expression:
    failed = increase("lab_responses_total", window_s, outcome=("shed", "failed"))
    return failed / increase("lab_responses_total", window_s, outcome=COUNTED).above(0)


def _degraded_share(window_s: float) -> Expression:
    degraded = increase("lab_responses_total", window_s, outcome="degraded")
    return degraded / increase("lab_responses_total", window_s).above(0)


def _in_time_share(design: Design, limit_ms: float, window_s: float) -> Expression:
    """The share of requests within the budget; exact, because the budget is an edge of a bucket."""
    edge = floatToGoString(round(limit_ms / 1000, 6))  # type: ignore[no-untyped-call]
    within = increase("lab_request_seconds_bucket", window_s, design=design.name, le=edge)
    return within / increase("lab_request_seconds_count", window_s, design=design.name).above(0)


def shared_records() -> Iterator[RecordRule]:
    """Recording rules that cover all designs at once."""

    def p99(clock: Clock) -> str:
        window = duration(clock.window_s(5 * MINUTE_S))
        return f"histogram_quantile(0.99, sum by (design, le) (rate(lab_request_seconds_bucket[{window}])))"

    yield RecordRule("design:lab_request_seconds:p99_5m", p99)
    for window_s in (AFTERMATH_S, 5 * MINUTE_S):
        yield RecordRule(f"{DEGRADED_SHARE}_{duration(window_s)}", _degraded_share(window_s))
    for window_s in WINDOWS_S:
        yield RecordRule(f"{FAILED}_{duration(window_s)}", _failed_share(window_s))


def budget_rules(design: Design) -> Iterator[RecordRule | AlertRule]:
    """The rules of the design's budgets for latency, availability and the degraded share, as far as it has them."""
    limits = {budget.name: budget.limit for budget in design.budgets}
    if LATENCY in limits:
        yield from _latency_rules(design, limits[LATENCY])
    if AVAILABILITY in limits:
        yield from _availability_rules(design, 1 - limits[AVAILABILITY])
    if DEGRADED in limits:
        yield _degraded_rule(design, limits[DEGRADED])


def _latency_rules(design: Design, limit_ms: float) -> Iterator[RecordRule | AlertRule]:
    def share(window_s: float) -> Expression:
        return _in_time_share(design, limit_ms, window_s)

    def recorded(window_s: float) -> Expression:
        return Recorded(f"{IN_TIME}_{duration(window_s)}", share(window_s), design.name)

    for window_s in WINDOWS_S:
        yield RecordRule(f"{IN_TIME}_{duration(window_s)}", share(window_s), {"design": design.name})
    for burn in BURNS:
        least = 1 - burn.rate * SLOW_ALLOWED
        yield AlertRule(
            "LatencyBudgetBurn",
            recorded(burn.long_s).below(least).when(recorded(burn.short_s).below(least)).when(_enough(design, burn)),
            burn.severity,
            "{{ $labels.design }}: {{ $value | humanizePercentage }} of requests take at most "
            f"{limit_ms:g} ms; the budget is 99%",
            "See which stage takes the time: lab_stage_seconds by stage, or ?explain=true on one request.",
            labels={"design": design.name, "burn": burn.name},
        )


def _availability_rules(design: Design, allowed: float) -> Iterator[AlertRule]:
    def recorded(window_s: float) -> Expression:
        return Recorded(f"{FAILED}_{duration(window_s)}", _failed_share(window_s), design.name)

    for burn in BURNS:
        most = burn.rate * allowed
        yield AlertRule(
            "AvailabilityBudgetBurn",
            recorded(burn.long_s).above(most).when(recorded(burn.short_s).above(most)).when(_enough(design, burn)),
            burn.severity,
            "{{ $labels.design }}: {{ $value | humanizePercentage }} of requests fail or are shed; "
            f"the budget is {allowed * 100:.10g}%",
            "Read lab_responses_total by outcome: shed means too much load, failed is a bug or a lost connection.",
            labels={"design": design.name, "burn": burn.name},
        )


def _degraded_rule(design: Design, limit: float) -> AlertRule:
    answers = increase("lab_responses_total", 5 * MINUTE_S, design=design.name)

    def above(window_s: float) -> Expression:
        name = f"{DEGRADED_SHARE}_{duration(window_s)}"
        return Recorded(name, _degraded_share(window_s), design.name).above(limit)

    return AlertRule(
        "DegradedShareTooHigh",
        above(5 * MINUTE_S).when(above(AFTERMATH_S)).when(answers.at_least(FEWEST_ANSWERS)),
        TICKET,
        "{{ $labels.design }}: {{ $value | humanizePercentage }} of answers are degraded; "
        f"the budget is {limit * 100:.10g}%",
        "Read the reasons in lab_degraded_total; designs/failure_modes.md explains each reason and its fallback.",
        30.0,
        {"design": design.name},
    )


def _enough(design: Design, burn: Burn) -> Expression:
    return increase("lab_request_seconds_count", burn.long_s, design=design.name).at_least(FEWEST)
