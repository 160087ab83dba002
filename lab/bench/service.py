"""Measures the time and memory of a build, and the speed of the service next to references that do the same work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Set
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from infra.build.fingerprints import step_paths
from infra.design import Design, resolve
from infra.errors import LabError
from infra.settings import REPOSITORY, Settings
from lab.bench import processor
from lab.bench.environment import environment
from lab.bench.memory import FamilyMemory
from lab.bench.served import served
from lab.load.open_loop import Client, capacity_per_s, open_loop
from lab.output.console import err

BUILDS = 3
"""Largest number of builds: a build takes a minute, so a run has fewer builds than other rounds."""
BUILD_IDS = frozenset({"offline_s", "offline_mb"})
PRESET: Final = "small"
CLIENTS, CAPACITY_S, OPEN_LOOP_S, SHARE_OF_CAPACITY = 4, 5.0, 15.0, 0.3


@dataclass
class ServiceBench:
    """Builds the design into separate homes and serves the last build.

    If the design's benchmarks have a method `background`, its context manager is open while the service is measured:
    for example, it writes what a worker would write.
    """

    design: Design
    directory: Path
    rounds: int
    found: dict[str, list[float]]

    def measure(self, wanted: Set[str]) -> None:
        """Measure at least the `wanted` figures. If no figure of builds is wanted, the design is built once."""
        builds = min(BUILDS, self.rounds) if wanted & BUILD_IDS else 1
        for number in range(builds):
            err.print(f"building from nothing, {number + 1} of {builds} …")
            home = self.directory / f"home-{number}"
            seconds, peak_mb = self._build(home)
            self.found.setdefault("offline_s", []).append(seconds)
            self.found.setdefault("offline_mb", []).append(peak_mb)
        if wanted <= self.found.keys():
            return
        for option in sorted({step.option for step in self.design.steps if step.option}):
            self._build(home, f"--with-{option}")
        settings = Settings(home=home, preset=PRESET)
        release = step_paths(self.design, settings)[self.design.steps[-1].name]
        with served(self.design, home, PRESET, self.directory / "serve.log") as url:
            kernels: Any = resolve(self.design.benchmarks)(release, self.design.configuration(PRESET), url, settings)
            client = Client(url, self.design.ask.path, kernels.question)
            with getattr(kernels, "background", nullcontext)():
                for number in range(self.rounds + 1 if wanted - BUILD_IDS - {processor.ID} else 0):
                    err.print(f"round {number} of {self.rounds}{' (to warm up)' if number == 0 else ''} …")
                    share = getattr(kernels, "share_of_capacity", SHARE_OF_CAPACITY)
                    for name, value in (kernels.round() | self._load(client, number, share)).items():
                        if number > 0:
                            self.found.setdefault(name, []).append(value)
        if processor.ID in wanted:
            self.found |= processor.cpu_of_requests(self.design, settings, kernels.question, self.rounds)

    def _load(self, client: Client, seed: int, share: float) -> Mapping[str, float]:
        capacity = capacity_per_s(client, clients=CLIENTS, seconds=CAPACITY_S)
        latencies = open_loop(client, rate_per_s=share * capacity, seconds=OPEN_LOOP_S, seed=seed)
        return {"capacity_per_s": capacity, "p99_ms": float(np.quantile(latencies, 0.99))}

    def _build(self, home: Path, *options: str) -> tuple[float, float]:
        """Build in separate processes and return (seconds, peak MB of all of them). Raises `LabError` if the build
        fails."""
        started = time.perf_counter()
        command = [sys.executable, "-m", "lab", "build", self.design.name, "--preset", PRESET, "--quiet", *options]
        log = self.directory / "build.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment(home), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            with FamilyMemory(process.pid) as memory:
                _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise LabError("`lab build` failed", hint=log.read_text(errors="replace")[-2000:])
        resident_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)  # also between two samples
        return time.perf_counter() - started, max(memory.peak_mb, resident_mb)
