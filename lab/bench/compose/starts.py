"""Starts of the composed setting: the feed alone, then all profiles. Times, memory, and the size of the image."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from infra.design import Design
from lab.designs import find_design, load_designs
from lab.output.console import err
from lab.services.composing import Stack

FEED = "feed_ranking"
IMAGES = {"image_mb": "ml-system-design-lab", "serving_image_mb": "ml-system-design-lab-serving"}
ALL = ("--profile", "all")
UNITS = {"B": 1e-6, "KIB": 1024 / 1e6, "MIB": 1024**2 / 1e6, "GIB": 1024**3 / 1e6}
Found = dict[str, list[float]]


def measure_starts(stack: Stack, wanted: AbstractSet[str], rounds: int, found: Found) -> None:
    """Start the feed alone from nothing and again, and then the same with all profiles, without Grafana."""
    feed = [find_design(FEED)]
    err.print("starting the feed from nothing …")
    found["compose_first_s"] = [up(stack, (), feed, from_nothing=True)]
    found["compose_mb"] = [memory_mb(stack)]
    found |= {name: [image_mb(image)] for name, image in IMAGES.items()}
    for number in range(rounds if "compose_again_s" in wanted else 0):
        err.print(f"starting the feed again, {number + 1} of {rounds} …")
        stack.compose("down")
        found.setdefault("compose_again_s", []).append(up(stack, (), feed))
    if not wanted & {"compose_all_first_s", "compose_all_again_s", "compose_designs_mb", "compose_all_mb"}:
        return
    stack.down()
    err.print("starting all profiles from nothing …")
    found["compose_all_first_s"] = [up(stack, ALL, load_designs(), from_nothing=True)]
    memory = memory_by_container(stack)
    found["compose_all_mb"] = [sum(memory.values())]
    found["compose_designs_mb"] = [sum(mb for name, mb in memory.items() if not name.startswith("airflow"))]
    for number in range(rounds if "compose_all_again_s" in wanted else 0):
        err.print(f"starting all profiles again, {number + 1} of {rounds} …")
        stack.compose(*ALL, "down")
        found.setdefault("compose_all_again_s", []).append(up(stack, ALL, load_designs()))


def up(stack: Stack, profiles: Sequence[str], designs: Sequence[Design], *, from_nothing: bool = False) -> float:
    """Seconds until the stack is healthy and each design answers. `from_nothing` rebuilds every layer of the images."""
    started = time.perf_counter()
    if from_nothing:
        stack.compose(*profiles, "build", "--no-cache")
    stack.compose(*profiles, "up", "--build", "--detach")
    stack.await_(
        lambda: all(stack.answers(one.ask.path, one.ask.example(), one.name) for one in designs) and stack.is_built(),
        "healthy services and an answer of each design",
    )
    return time.perf_counter() - started


def memory_mb(stack: Stack) -> float:
    """Memory of all running containers of the stack in MB, from `docker stats`."""
    return sum(memory_by_container(stack).values())


def memory_by_container(stack: Stack) -> dict[str, float]:
    """Service -> memory of its containers in MB."""
    services = {row["Name"]: name for name, row in stack.states().items() if row["State"] == "running"}
    command = ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *services]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    found: dict[str, float] = {}
    for line in lines:
        name, _, used = line.partition(" ")
        found[services[name]] = _megabytes(used.partition("/")[0].strip())
    return found


def image_mb(image: str) -> float:
    inspected = subprocess.run(
        ["docker", "image", "inspect", image], capture_output=True, check=True, timeout=60
    ).stdout
    return float(json.loads(inspected)[0]["Size"]) / 1e6


def _megabytes(text: str) -> float:
    """Convert a size such as `212.4MiB` to MB."""
    number = text.rstrip("BKMGi")
    return float(number) * UNITS[text[len(number) :].upper()]
