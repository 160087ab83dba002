"""Alert rules and recording rules as values, and short forms of the expressions that most of them use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from infra.telemetry.alerts.expressions import Clock, Expression, Increase, Latest
from infra.telemetry.alerts.samples import Selection

PAGE, TICKET = "page", "ticket"
"""Severities: a page needs a person now, a ticket during the next days."""
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
AFTERMATH_S = 30.0
"""The short window of the degraded share. An alert that inhibits another one goes on for as long."""
FEWEST_ANSWERS = 20
"""Answers in five minutes below which no share of them is judged."""


@dataclass(frozen=True)
class RecordRule:
    """A recording rule. `text` renders PromQL that only dashboards read, for an expression that alerts do not use."""

    name: str
    expression: Expression | Callable[[Clock], str]
    labels: Mapping[str, str] = field(default_factory=dict)

    def text(self, clock: Clock) -> str:
        return self.expression.text(clock) if isinstance(self.expression, Expression) else self.expression(clock)


@dataclass(frozen=True)
class AlertRule:
    """An alert fires for each label set for which `condition` has had a value for `for_s` seconds.

    It goes on for `keep_s` seconds after the condition has ended, so that its consequences end before it does.
    `summary` and `action` are templates in Prometheus' syntax (`infra.telemetry.alerts.wording`).
    """

    name: str
    condition: Expression
    severity: str
    summary: str
    action: str
    for_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    keep_s: float = 0.0

    @property
    def all_labels(self) -> dict[str, str]:
        """The labels that the rule adds to those of the series."""
        return {**self.labels, "severity": self.severity}


@dataclass(frozen=True)
class RuleGroup:
    name: str
    rules: tuple[RecordRule | AlertRule, ...]


def increase(metric: str, window_s: float, **where: str | tuple[str, ...]) -> Expression:
    """The increase of a counter by design."""
    return Increase(Selection.of(metric, **where), window_s)


def latest(metric: str, *by: str) -> Expression:
    """The largest value of a gauge by labels."""
    return Latest(Selection(metric), by)
