"""The folders of the live log, and the time column of each folder."""

from __future__ import annotations

from pathlib import Path

from infra.live.live_log import LIVE as LIVE
from infra.live.live_log import LiveLog

SHOWN, CLICKS, PREDICTIONS = "shown", "clicks", "predictions"
LIVE_LOG = LiveLog(
    "ctr_prediction",
    times={SHOWN: "seen_ts", CLICKS: "label_ts", PREDICTIONS: "request_ts"},
    trained=(SHOWN, CLICKS),
    labels=(SHOWN, "seen_ts"),
)


def end_of_log(live: Path) -> float:
    """See `infra.live.kept_log.end_of_log`."""
    from infra.live import kept_log  # lazy: imports Arrow, which a build without changed steps does not need

    return kept_log.end_of_log(LIVE_LOG, live)
