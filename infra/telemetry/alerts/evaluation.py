"""Evaluates alert rules over samples, as Prometheus does: an alert is pending until its condition has held long enough.

The embedded monitor calls `evaluate` after each round of scrapes.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.telemetry.alerts.alert import Alert
from infra.telemetry.alerts.expressions import Clock
from infra.telemetry.alerts.rule import AlertRule
from infra.telemetry.alerts.samples import Labels, Samples, Selection
from infra.telemetry.alerts.wording import fill


class RuleEvaluation:
    """The state of all alert rules. `samples` must be filled by the caller."""

    def __init__(self, rules: Sequence[AlertRule], clock: Clock) -> None:
        self._rules, self._clock = list(rules), clock
        self.samples = Samples(_read(rules))
        self._since: dict[tuple[int, Labels], float] = {}
        self._fired: dict[tuple[int, Labels], float] = {}

    def evaluate(self) -> list[Alert]:
        """Return the alerts that fire now. An alert ends as soon as its condition no longer holds."""
        now = self.samples.now
        held: dict[tuple[int, Labels], float] = {}
        for place, rule in enumerate(self._rules):
            for labels, value in rule.condition.value(self.samples, self._clock).items():
                held[place, labels] = value
        self._since = {key: self._since.get(key, now) for key in held}
        firing = [key for key in held if now - self._since[key] >= self._clock.wait_s(self._rules[key[0]].for_s)]
        self._fired = {key: self._fired.get(key, now) for key in firing}
        return [self._alert(key, held[key]) for key in firing]

    def _alert(self, key: tuple[int, Labels], value: float) -> Alert:
        rule = self._rules[key[0]]
        labels = {"alertname": rule.name, **dict(key[1]), **rule.all_labels}
        return Alert(labels, fill(rule.summary, labels, value), fill(rule.action, labels, value), self._fired[key])


def _read(rules: Sequence[AlertRule]) -> list[Selection]:
    return [selection for rule in rules for selection in rule.condition.selections()]
