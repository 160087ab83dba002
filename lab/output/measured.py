"""Records where and when figures were measured. Every file of published figures includes this record."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.settings import REPOSITORY

CPUINFO = Path("/proc/cpuinfo")
GENERATED = ("designs/figures", "README.md")
"""Paths that `--publish` writes. Changes in these paths do not mark the measured commit as dirty."""


@dataclass(frozen=True)
class Measured:
    """Conditions of a measurement. `cores` counts the cores that the process may use. `commit` ends in `-dirty` if
    tracked files have changed since the commit."""

    processor: str
    cores: int
    python: str
    preset: str
    date: str
    commit: str

    def sentence(self) -> str:
        """The conditions as one sentence for a page."""
        return f"Measured on {self.date} (UTC), commit `{self.commit}`, preset `{self.preset}`, on {self.where}."

    @property
    def where(self) -> str:
        return f"{self.processor}, {self.cores} core{'s' if self.cores != 1 else ''}, Python {self.python}"


def summary(conditions: Sequence[Measured]) -> str:
    """One sentence per machine and preset, with the first and the last date."""
    dates: dict[str, list[str]] = {}
    for one in conditions:
        dates.setdefault(f"preset `{one.preset}`, on {one.where}", []).append(one.date)
    return "\n".join(
        f"Measured {_from_to(min(found), max(found))} (UTC), {machine}. The pages name the commits."
        for machine, found in dates.items()
    )


def _from_to(first: str, last: str) -> str:
    return f"on {first}" if first == last else f"from {first} to {last}"


def measured_here(preset: str) -> Measured:
    return Measured(
        processor=processor_name(CPUINFO),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        preset=preset,
        date=datetime.now(UTC).date().isoformat(),
        commit=commit_of(REPOSITORY),
    )


def processor_name(cpuinfo: Path) -> str:
    """Return the processor's model name on Linux, else the name from `platform`."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == "model name"]
    return names[0] if names else platform.processor() or platform.machine()


def commit_of(repository: Path) -> str:
    """Return the short hash of the checked-out commit; `unknown` outside a git repository."""
    try:
        commit = _git(repository, "rev-parse", "--short=12", "HEAD").strip()
        excluded = [f":(exclude){name}" for name in GENERATED]
        changed = _git(repository, "status", "--porcelain", "--untracked-files=no", "--", ".", *excluded)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed.strip() else commit


def _git(repository: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout
