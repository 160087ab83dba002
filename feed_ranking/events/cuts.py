"""Which files of the live log a build reads: asked before a build, so light. `live_log.py` reads them.

The worker goes on writing while a build runs, and people may use the feed every day without wanting a new model. So
a build names the complete files that it found when it began, and reads those and no others.
"""

from __future__ import annotations

from pathlib import Path

from infra.settings import Settings

LOG, POSTS = "log", "posts"


def live_root(settings: Settings) -> Path:
    """Where the worker writes: `log` and `posts`, partitioned by date and hour."""
    return settings.design_root("feed_ranking") / "live"


def cut_of(settings: Settings) -> str:
    """A line per complete file, its size and its path under `live_root`; empty where nothing happened live."""
    root = live_root(settings)
    files = sorted(path for kind in (LOG, POSTS) for path in (root / kind).rglob("*.parquet"))
    return "\n".join(f"{path.stat().st_size} {path.relative_to(root).as_posix()}" for path in files)


def files_of(cut: str) -> list[str]:
    """The paths that a cut names."""
    return [line.partition(" ")[2] for line in cut.splitlines()]
