"""The rules as the content of a Prometheus rule file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.telemetry.alerts.expressions import Clock, duration
from infra.telemetry.alerts.rule import AlertRule, RecordRule, RuleGroup


def rule_file(groups: Sequence[RuleGroup], clock: Clock) -> dict[str, Any]:
    """Return the content of a rule file. A `clock` that runs faster has shorter windows and waiting times."""
    return {
        "groups": [{"name": group.name, "rules": [_entry(rule, clock) for rule in group.rules]} for group in groups]
    }


def _entry(rule: RecordRule | AlertRule, clock: Clock) -> dict[str, Any]:
    if isinstance(rule, RecordRule):
        entry: dict[str, Any] = {"record": rule.name, "expr": rule.text(clock)}
        return entry | ({"labels": dict(rule.labels)} if rule.labels else {})
    entry = {"alert": rule.name, "expr": rule.condition.text(clock)}
    if rule.for_s:
        entry["for"] = duration(clock.wait_s(rule.for_s))
    if rule.keep_s:
        entry["keep_firing_for"] = duration(clock.window_s(rule.keep_s))
    return entry | {"labels": rule.all_labels, "annotations": {"summary": rule.summary, "action": rule.action}}
