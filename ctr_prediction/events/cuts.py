"""Which files of the live log a build reads. The runner asks before a build, so this module imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from ctr_prediction.events.paths import LIVE_LOG
from infra.live import live_log
from infra.settings import Settings


def live_root(settings: Settings) -> Path:
    """The directory that the worker writes to."""
    return live_log.live_root(LIVE_LOG, settings)


def cut_of(settings: Settings) -> str:
    """See `infra.live.live_log.cut_of`."""
    return live_log.cut_of(LIVE_LOG, settings)
