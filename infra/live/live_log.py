"""A design's live log: the Parquet files that the worker writes, and the cut of them that a build reads.

The worker continues to write during a build. A build therefore lists the complete files that exist at its start, its
*cut*, and reads only those files. The runner computes the cut before every build, so this module imports no heavy
library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings

LIVE = "live"


@dataclass(frozen=True)
class LiveLog:
    """`times` maps each folder of the log to its time column. Training reads the folders `trained`. `labels` is a
    folder and the column that only its labelled rows have.

    A folder holds Parquet files, partitioned by date and hour (`infra.stream.sink`).
    """

    design: str
    times: Mapping[str, str]
    trained: tuple[str, ...]
    labels: tuple[str, str]


def live_root(log: LiveLog, settings: Settings) -> Path:
    """The directory that holds the folders of the log."""
    return settings.design_root(log.design) / LIVE


def cut_of(log: LiveLog, settings: Settings) -> str:
    """One line per complete file that training reads: its size and its path under `live_root`. Empty without files."""
    root = live_root(log, settings)
    files = sorted(path for folder in log.trained for path in (root / folder).rglob("*.parquet"))
    return "\n".join(f"{path.stat().st_size} {path.relative_to(root).as_posix()}" for path in files)


def before(cut: str, day: str) -> str:
    """The lines of a cut whose files were written before `day` (YYYY-MM-DD). Each path has a folder `date=…`."""
    return "\n".join(line for line in cut.splitlines() if line.partition("/date=")[2][: len(day)] < day)


def files_of_cut(cut: str) -> list[str]:
    """The paths that a cut names, relative to `live_root`."""
    return [line.partition(" ")[2] for line in cut.splitlines()]
