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

AlertKey = tuple[int, Labels]
"""The place of a rule, and the labels of the series for which it fires."""


class RuleEvaluation:
    """The state of all alert rules. `samples` must be filled by the caller."""

    def __init__(self, rules: Sequence[AlertRule], clock: Clock) -> None:
        self._rules, self._clock = list(rules), clock
        self.samples = Samples(_read(rules))
        self._since: dict[AlertKey, float] = {}
        self._fired: dict[AlertKey, float] = {}
        self._held: dict[AlertKey, tuple[float, float]] = {}

    def evaluate(self) -> list[Alert]:
        """Return the alerts that fire now: their condition has held long enough, or ended less than `keep_s` ago."""
        now = self.samples.now
        held: dict[AlertKey, float] = {}
        for place, rule in enumerate(self._rules):
            for labels, value in rule.condition.value(self.samples, self._clock).items():
                held[place, labels] = value
        self._since = {key: self._since.get(key, now) for key in held}
        ripe = [key for key in held if now - self._since[key] >= self._clock.wait_s(self._rules[key[0]].for_s)]
        kept = [key for key in self._fired if key not in held and self._is_kept(key, now)]
        self._held |= {key: (now, value) for key, value in held.items()}
        self._fired = {key: self._fired.get(key, now) for key in (*ripe, *kept)}
        self._held = {key: self._held[key] for key in (*held, *kept)}
        return [self._alert(key, self._held[key][1]) for key in self._fired]

    def _is_kept(self, key: AlertKey, now: float) -> bool:
        keep_s = self._rules[key[0]].keep_s
        return keep_s > 0 and now - self._held[key][0] < self._clock.window_s(keep_s)

    def _alert(self, key: AlertKey, value: float) -> Alert:
        rule = self._rules[key[0]]
        labels = {"alertname": rule.name, **dict(key[1]), **rule.all_labels}
        return Alert(labels, fill(rule.summary, labels, value), fill(rule.action, labels, value), self._fired[key])


def _read(rules: Sequence[AlertRule]) -> list[Selection]:
    return [selection for rule in rules for selection in rule.condition.selections()]
