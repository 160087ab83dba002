"""Measures the composed setting: the time until it serves, the memory of its containers and the size of its image."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass

from infra.design import Design
from lab.output.console import err
from lab.services.composing import Stack, engine_or_raise

IMAGE = "ml-system-design-lab"
UNITS = {"B": 1e-6, "KIB": 1024 / 1e6, "MIB": 1024**2 / 1e6, "GIB": 1024**3 / 1e6}


@dataclass
class ComposeBench:
    """Measures one first start and `rounds` further starts on the same volumes.

    The first start may use base images and the package cache that are already present.
    """

    design: Design
    rounds: int
    found: dict[str, list[float]]

    ids = frozenset({"compose_first_s", "compose_again_s", "compose_mb", "image_mb"})

    def measure(self) -> None:
        """Measure all figures into `found`. Raises `DependencyError` if no Docker engine answers."""
        engine_or_raise()
        stack = Stack("lab-bench")
        stack.down()
        try:
            err.print("starting the composed setting from nothing …")
            self.found["compose_first_s"] = [self._up(stack, from_nothing=True)]
            self.found["compose_mb"] = [memory_mb(stack)]
            self.found["image_mb"] = [image_mb()]
            for number in range(self.rounds):
                err.print(f"starting the composed setting again, {number + 1} of {self.rounds} …")
                stack.compose("down")
                self.found.setdefault("compose_again_s", []).append(self._up(stack))
        finally:
            stack.down()

    def _up(self, stack: Stack, *, from_nothing: bool = False) -> float:
        """Seconds until the stack is healthy and returns a slate. `from_nothing` rebuilds every layer of the image."""
        body = self.design.ask.example()
        started = time.perf_counter()
        if from_nothing:
            stack.compose("build", "--no-cache", "build")
        stack.compose("up", "--build", "--detach")
        stack.await_(lambda: stack.answers(self.design.ask.path, body) and stack.is_settled(), "a slate")
        return time.perf_counter() - started


def memory_mb(stack: Stack) -> float:
    """Memory of all running containers of the stack in MB, from `docker stats`."""
    names = [row["Name"] for row in stack.states().values() if row["State"] == "running"]
    command = ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", *names]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return sum(_megabytes(line.partition("/")[0].strip()) for line in lines)


def image_mb() -> float:
    inspected = subprocess.run(
        ["docker", "image", "inspect", IMAGE], capture_output=True, check=True, timeout=60
    ).stdout
    return float(json.loads(inspected)[0]["Size"]) / 1e6


def _megabytes(text: str) -> float:
    """Convert a size such as `212.4MiB` to MB."""
    number = text.rstrip("BKMGi")
    return float(number) * UNITS[text[len(number) :].upper()]
