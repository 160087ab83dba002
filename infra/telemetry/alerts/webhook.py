"""The notifications that Alertmanager posts to a webhook receiver (version 4), and how the book takes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from infra.telemetry.alerts.alert import Alert
from infra.telemetry.alerts.book import AlertBook

MOST_ALERTS = 500
Word = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2000)]


class NotifiedAlert(BaseModel):
    """One alert of a notification. Unknown fields are ignored, since newer versions add fields."""

    status: Literal["firing", "resolved"]
    labels: dict[Word, Text] = Field(min_length=1, max_length=50)
    annotations: dict[Word, Text] = Field(default_factory=dict, max_length=50)
    starts: AwareDatetime = Field(alias="startsAt")
    ends: AwareDatetime | None = Field(None, alias="endsAt")


class Notification(BaseModel):
    version: Literal["4"]
    alerts: list[NotifiedAlert] = Field(max_length=MOST_ALERTS)


def take(notification: Notification, book: AlertBook) -> None:
    """Add the firing alerts of a notification to the book and end the resolved ones. A repeated one changes nothing."""
    for one in notification.alerts:
        alert = Alert(
            one.labels, one.annotations.get("summary", ""), one.annotations.get("action", ""), one.starts.timestamp()
        )
        if one.status == "firing":
            book.fire(alert)
        else:
            ended = one.ends or datetime.now(UTC)
            book.end(alert.key, ended.timestamp())
