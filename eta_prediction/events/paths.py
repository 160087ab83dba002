"""The folders of the live log, and the time column of each folder."""

from __future__ import annotations

from pathlib import Path

from infra.live.live_log import LIVE as LIVE
from infra.live.live_log import LiveLog

QUOTES, TRIPS, TRAVERSALS, INCIDENTS, WEATHER = "quotes", "trips", "traversals", "incidents", "weather"
"""Folders of the log. The end of a trip is a label, and the log entry of its quote contains the inputs."""
LIVE_LOG = LiveLog(
    "eta_prediction",
    times={
        QUOTES: "request_ts",
        TRIPS: "received_ts",
        TRAVERSALS: "received_ts",
        INCIDENTS: "received_ts",
        WEATHER: "received_ts",
    },
    trained=(QUOTES, TRIPS, TRAVERSALS, INCIDENTS, WEATHER),
    labels=(TRIPS, "arrival_ts"),
)


def end_of_log(live: Path) -> float:
    """See `infra.live.kept_log.end_of_log`."""
    from infra.live import kept_log  # lazy: imports Arrow, which a build without changed steps does not need

    return kept_log.end_of_log(LIVE_LOG, live)
