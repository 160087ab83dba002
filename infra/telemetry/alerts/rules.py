"""All alert rules and recording rules of the lab, in the groups of the rule file."""

from __future__ import annotations

from collections.abc import Sequence

from infra.design import Design, resolve
from infra.telemetry.alerts.budget_rules import budget_rules, shared_records
from infra.telemetry.alerts.platform_rules import (
    BUILD_ALERTS,
    DRIFT_ALERTS,
    ROLLOUT_ALERTS,
    SERVICE_ALERTS,
    STREAM_ALERTS,
)
from infra.telemetry.alerts.rule import AlertRule, RuleGroup


def rule_groups(designs: Sequence[Design]) -> tuple[RuleGroup, ...]:
    """The rules of each design's budgets, its own alerts (`Design.alerts`), and the alerts that all designs share."""
    budgets = [rule for design in designs for rule in budget_rules(design)]
    own = [rule for design in designs if design.alerts for rule in resolve(design.alerts)]
    return (
        RuleGroup("budgets", (*shared_records(), *budgets)),
        RuleGroup("designs", tuple(own)),
        RuleGroup("services", SERVICE_ALERTS),
        RuleGroup("builds", BUILD_ALERTS),
        RuleGroup("drift", DRIFT_ALERTS),
        RuleGroup("rollout", ROLLOUT_ALERTS),
        RuleGroup("stream", STREAM_ALERTS),
    )


def alert_rules(groups: Sequence[RuleGroup]) -> list[AlertRule]:
    return [rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)]
