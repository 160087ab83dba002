"""Lists the files of the live log that a build reads. `history.py` reads the files.

The worker keeps writing while a build runs. A build therefore records the complete files that exist when it begins and
reads only those. The step runner calls `cut_of` before each build, so this module imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path

from ctr_prediction.events.paths import CLICKS, LIVE, SHOWN
from infra.settings import Settings


def live_root(settings: Settings) -> Path:
    """The directory that the worker writes: `shown` and `clicks`, partitioned by date and hour."""
    return settings.design_root("ctr_prediction") / LIVE


def cut_of(settings: Settings) -> str:
    """One line per complete file: its size and its path under `live_root`. Empty if the live log has no files."""
    root = live_root(settings)
    files = sorted(path for kind in (SHOWN, CLICKS) for path in (root / kind).rglob("*.parquet"))
    return "\n".join(f"{path.stat().st_size} {path.relative_to(root).as_posix()}" for path in files)


def files_of(cut: str) -> list[str]:
    """The paths in `cut`, relative to `live_root`."""
    return [line.partition(" ")[2] for line in cut.splitlines()]
