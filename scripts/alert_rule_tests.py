"""Tests of the generated budget alerts for promtool, written by `make rules` to `rules_budgets_test.yml`.

Each design gets the same cases with its own budgets: a lasting breach, a slow one, a spike, few requests, and a breach
that has ended. promtool evaluates the rules on these made-up series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.utils import floatToGoString

from infra.design import Design
from infra.telemetry.alerts.rule import AlertRule
from infra.telemetry.alerts.rules import alert_rules, rule_groups
from infra.telemetry.alerts.wording import fill

PER_STEP = 20
"""Requests per step of 30 s."""


def budget_tests(designs: Sequence[Design]) -> dict[str, Any]:
    """Return the content of the test file."""
    tests = [test for design in designs for test in _tests_of(design)]
    return {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}


def _tests_of(design: Design) -> Iterator[dict[str, Any]]:
    limits = {budget.name: budget.limit for budget in design.budgets}
    rules = [rule for rule in alert_rules(rule_groups([design])) if rule.labels.get("design") == design.name]
    edge = floatToGoString(round(limits["p99_ms"] / 1000, 6))

    def slow(text: str, in_time: str, requests: str, at: str, burns: Mapping[str, float]) -> dict[str, Any]:
        series = {
            f'lab_request_seconds_bucket{{design="{design.name}", le="{edge}"}}': in_time,
            f'lab_request_seconds_count{{design="{design.name}"}}': requests,
        }
        return _case(f"{design.name}: {text}", series, at, "LatencyBudgetBurn", _expected(rules, design, burns, "Lat"))

    def failed(text: str, ok: str, bad: str, at: str, burns: Mapping[str, float]) -> dict[str, Any]:
        series = {
            f'lab_responses_total{{design="{design.name}", outcome="ok"}}': ok,
            f'lab_responses_total{{design="{design.name}", outcome="shed"}}': bad,
            f'lab_request_seconds_count{{design="{design.name}"}}': f"0+{PER_STEP}x200",
        }
        expected = _expected(rules, design, burns, "Ava")
        return _case(f"{design.name}: {text}", series, at, "AvailabilityBudgetBurn", expected)

    steady = f"0+{PER_STEP}x200"
    yield slow(
        "half of the requests are slow", "0+10x200", steady, "20m", dict.fromkeys(("fast", "slow", "steady"), 0.5)
    )
    yield slow("a tenth is slow", "0+18x200", steady, "20m", {"slow": 0.9, "steady": 0.9})
    yield slow("one of 200 is slow", "0+199x200", "0+200x200", "30m", {})
    yield slow("all are slow for one minute after an hour", "0+20x120 2400 2400 2420+20x70", steady, "61m", {})
    yield slow("few requests are slow", "0+0x200", "0+2x20 40x180", "9m", {})
    yield slow("the breach ended half an hour ago", "0x20 0+20x100", "0+20x120", "45m", {"steady": 0.7667})
    yield failed(
        "half of the requests are shed", "0+10x200", "0+10x200", "20m", dict.fromkeys(("fast", "slow", "steady"), 0.5)
    )
    yield failed("one of 100 is shed", "0+99x200", "0+1x200", "30m", {"slow": 0.01, "steady": 0.01})
    yield failed("one of 2,000 is shed", "0+1999x200", "0+1x200", "30m", {})
    yield from _degraded(design, rules)


def _degraded(design: Design, rules: Sequence[AlertRule]) -> Iterator[dict[str, Any]]:
    rule = next(rule for rule in rules if rule.name == "DegradedShareTooHigh")
    for text, ok, degraded, share in (
        ("one of 200 answers is degraded", "0+199x40", "0+1x40", None),
        ("one of 20 answers is degraded", "0+95x40", "0+5x40", 0.05),
        ("one of ten answers is degraded, but there are ten only", "0x10 9x30", "0x10 1x30", None),
    ):
        series = {
            f'lab_responses_total{{design="{design.name}", outcome="ok"}}': ok,
            f'lab_responses_total{{design="{design.name}", outcome="degraded"}}': degraded,
        }
        expected = [] if share is None else [_alert(rule, design, share)]
        yield _case(f"{design.name}: {text}", series, "10m", "DegradedShareTooHigh", expected)


def _case(text: str, series: Mapping[str, str], at: str, name: str, expected: Sequence[Any]) -> dict[str, Any]:
    return {
        "name": text,
        "interval": "30s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": list(expected)}],
    }


def _expected(rules: Sequence[AlertRule], design: Design, burns: Mapping[str, float], start: str) -> list[Any]:
    found = {rule.labels.get("burn"): rule for rule in rules if rule.name.startswith(start)}
    return [_alert(found[burn], design, share) for burn, share in burns.items()]


def _alert(rule: AlertRule, design: Design, share: float) -> dict[str, Any]:
    labels = {"design": design.name, **rule.all_labels}
    return {
        "exp_labels": labels,
        "exp_annotations": {"summary": fill(rule.summary, labels, share), "action": rule.action},
    }
