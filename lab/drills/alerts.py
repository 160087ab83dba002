"""The alerts that fired while a drill ran, as the monitor lists them, on the drill's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.errors import LabError
from lab.services.client import call

TIMEOUT_S = 3.0


@dataclass(frozen=True)
class FiredAlert:
    """An alert in seconds on the drill's clock. `to_s` is None if it still fired when the drill ended."""

    name: str
    severity: str
    summary: str
    from_s: float
    to_s: float | None


def alerts_during(monitor_url: str, design: str, began_ts: float, lasted_s: float) -> list[FiredAlert]:
    """Return the alerts of the design and of the platform that fired during the drill; none if no monitor answers."""
    try:
        found = call("GET", f"{monitor_url}/v1/alerts", timeout_s=TIMEOUT_S)
    except LabError:
        return []
    return fired_during([*found["active"], *found["recent"]], design, began_ts, lasted_s)


def fired_during(rows: Sequence[Mapping[str, Any]], design: str, began_ts: float, lasted_s: float) -> list[FiredAlert]:
    """The alerts of `rows` that overlap the drill, by start. Times before the drill are cut to 0."""
    fired = []
    for row in rows:
        labels, from_s = row["labels"], row["starts_ts"] - began_ts
        to_s = None if row["ends_ts"] is None else row["ends_ts"] - began_ts
        is_during = from_s <= lasted_s and (to_s is None or to_s >= 0)
        if is_during and labels.get("design", design) == design:
            ended_s = None if to_s is None or to_s > lasted_s else round(to_s, 2)
            severity = labels.get("severity", "")
            fired.append(FiredAlert(labels["alertname"], severity, row["summary"], round(max(0.0, from_s), 2), ended_s))
    return sorted(fired, key=lambda alert: (alert.from_s, alert.name))
