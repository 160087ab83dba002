"""`lab bench growth`: builds and serves each design at several sizes of its world."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.errors import UsageError
from lab.bench.growth.page import Growth
from lab.bench.growth.sizes import measure_size
from lab.designs import NAMES, find_design
from lab.load.machine import CpuWatch
from lab.output.console import err
from lab.output.measured import measured_here

PRESETS = ("smoke", "small", "medium")
"""`large` takes hours, and more memory than a laptop has."""
BUILDS = 3
"""Largest number of builds per size: the build of a medium world takes minutes."""


def measure_growth(only: Sequence[str] | None, rounds: int, home: Path) -> Iterator[tuple[str, Growth]]:
    """Yield each design with its cost at the sizes of `PRESETS`. The builds stay in `home`. Raises `UsageError` for an
    unknown design, and `LabError` if a build fails."""
    if unknown := set(only or ()) - set(NAMES):
        raise UsageError(f"there is no design {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(NAMES)}")
    for name in only or NAMES:
        sizes = []
        with CpuWatch(lambda: [os.getpid()]) as watch:
            for preset in PRESETS:
                err.print(f"building and serving {name}, preset {preset} …", soft_wrap=True)
                sizes.append(
                    measure_size(
                        find_design(name), preset, home / "bench-growth" / f"{name}-{preset}", min(rounds, BUILDS)
                    )
                )
        for text in watch.conditions(0.0, math.inf).disturbances:
            err.print(f"busy machine: {text}; times may be longer than on a quiet machine", soft_wrap=True)
        yield name, Growth(measured_here(", ".join(PRESETS)), tuple(sizes))
