"""An alert as a value, its fingerprint, and the inhibition of alerts that another alert explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Alert:
    """An alert that fires, or has fired. Times are seconds since the epoch; `ends_ts` is None while it fires.

    `labels` contain the name as `alertname`, and `severity`. `seen_ts` is when the monitor learned of it.
    """

    labels: Mapping[str, str]
    summary: str
    action: str
    starts_ts: float
    ends_ts: float | None = None
    seen_ts: float = 0.0

    @property
    def key(self) -> Key:
        """The labels as a value. Two alerts with equal labels are one alert."""
        return tuple(sorted(self.labels.items()))

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def design(self) -> str:
        """The design that the alert is about; empty for an alert of the platform."""
        return self.labels.get("design", "")


@dataclass(frozen=True)
class Inhibition:
    """While an alert with the labels `source` fires, alerts whose label values are in `target` are not delivered.

    Only alerts with the same values of the labels `equal` are affected.
    """

    source: Mapping[str, str]
    target: Mapping[str, tuple[str, ...]]
    equal: tuple[str, ...] = ()

    def applies(self, source: Alert, target: Alert) -> bool:
        return (
            source.key != target.key
            and all(source.labels.get(name) == value for name, value in self.source.items())
            and all(target.labels.get(name) in values for name, values in self.target.items())
            and all(source.labels.get(name, "") == target.labels.get(name, "") for name in self.equal)
        )


INHIBITIONS = (
    Inhibition(
        {"alertname": "FeatureStoreDown"},
        {"alertname": ("DegradedShareTooHigh", "BreakerOpen", "ConsumerLagging")},
    ),
    Inhibition({"alertname": "StreamDown"}, {"alertname": ("EventsDropped", "ConsumerLagging")}, ("design",)),
    Inhibition({"burn": "fast"}, {"burn": ("slow", "steady")}, ("alertname", "design")),
    Inhibition({"burn": "slow"}, {"burn": ("steady",)}, ("alertname", "design")),
)
"""The inhibitions of both settings; `infra/deploy/alertmanager/alertmanager.yml` has the same ones."""


def delivered(alerts: Iterable[Alert]) -> list[Alert]:
    """The alerts that no other firing alert inhibits."""
    firing = list(alerts)
    return [
        alert for alert in firing if not any(rule.applies(source, alert) for rule in INHIBITIONS for source in firing)
    ]
