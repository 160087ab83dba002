"""Measures the figures that a design's `bench` bounds: the first start of a new user, and the speed of the service.

Clones, builds and logs lie in a temporary directory that is removed at the end. The benchmarks use free ports, so
another lab may run at the same time, but it competes with the measured processes for the CPU.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.design import Design
from infra.errors import UsageError
from infra.evaluation.figures import Figure, of_rounds
from lab.bench.clone import CloneBench
from lab.bench.service import ServiceBench
from lab.load.machine import CpuWatch
from lab.output.console import err

Found = dict[str, list[float]]


def measure(design: Design, only: Sequence[str] | None, rounds: int) -> list[Figure]:
    """Measure the design's figures, in the order of its `bench`. Raises `UsageError` for an unknown id."""
    bounds = {bound.id: bound for bound in design.bench}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    wanted = {name for name in bounds if not only or name in only}
    found: Found = {}
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as directory:
        clone = CloneBench(design, Path(directory), rounds, found)
        for names, part in clone.parts():
            if wanted & names:
                part()
        service = ServiceBench(design, Path(directory), rounds, found)
        if of_service := wanted - clone.ids:
            with CpuWatch(lambda: [os.getpid()]) as watch:
                service.measure(of_service)
            for text in watch.conditions(0.0, math.inf).disturbances:
                err.print(f"busy machine: {text}; times may be longer than on a quiet machine", soft_wrap=True)
    return [of_rounds(bounds[name], found[name]) for name in bounds if name in wanted and name in found]
