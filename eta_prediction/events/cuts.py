"""Lists the files of the live log that a build reads. `live_history.py` reads the files.

The worker keeps writing while a build runs. A build therefore records the complete files that exist when it begins and
reads only those. The step runner calls `cut_of` before each build, so this module imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path

from eta_prediction.events.paths import LIVE_LOG
from infra.live import live_log
from infra.settings import Settings


def live_root(settings: Settings) -> Path:
    """The directory that the worker writes to."""
    return live_log.live_root(LIVE_LOG, settings)


def cut_of(settings: Settings) -> str:
    """See `infra.live.live_log.cut_of`."""
    return live_log.cut_of(LIVE_LOG, settings)
