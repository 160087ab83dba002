"""How often a design may be retrained without a person: not again within a cooldown, and at most so often a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from infra.columns import DAY_S
from infra.evaluation.drift_config import DriftConfig
from infra.telemetry.timeline import Entry

RETRAINING = "retraining"


def must_wait(entries: Sequence[Entry], config: DriftConfig, now_s: float) -> str:
    """The reason why no retraining may start at `now_s` (seconds since the epoch), or an empty text.

    `entries` are the events of the design's timeline; each retraining that began counts, also if it was refused.
    """
    if config.retrain_per_day == 0:
        return "retraining is switched off"
    begun = [at for entry in entries if entry.kind == RETRAINING and (at := _seconds(entry.at)) > now_s - DAY_S]
    if len(begun) >= config.retrain_per_day:
        return f"{len(begun)} retrainings began in the last 24 h"
    if begun and now_s - max(begun) < config.retrain_cooldown_s:
        return f"the last retraining began {now_s - max(begun):.0f} s ago"
    return ""


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
