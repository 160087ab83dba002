"""Builds and serves a design at one size of its world: what each step and each stage of a request costs there."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from infra.build.fingerprints import step_paths
from infra.design import Design, resolve
from infra.errors import LabError
from infra.settings import REPOSITORY, Settings
from lab.bench.environment import environment
from lab.bench.served import served
from lab.load.open_loop import Client, capacity_per_s
from lab.services.processes import tail

WARM_UP_S, ASK_S = 3.0, 10.0
ITEMS = {"feed_ranking": "indexed", "ctr_prediction": "ads", "eta_prediction": "edges"}
"""the fact of a design's step `index` that counts what a request searches"""


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Size:
    """`rows` are those of the history, `entities` the users or drivers with features, and `items` the posts, ads or
    edges that a request searches. `stages` are milliseconds of a request."""

    preset: str
    rows: int
    entities: int
    items: int
    steps: Mapping[str, Cost]
    stages: Mapping[str, float]


def measure_size(design: Design, preset: str, directory: Path, rounds: int) -> Size:
    """Build the design `rounds` times from nothing, and serve the last build. Of a step, the median of the times and
    the largest peak count. Raises `LabError` if a build fails or the service does not get ready."""
    builds = [_build(design, preset, directory) for _ in range(rounds)]
    facts = {row["name"]: row["facts"] for row in builds[-1]}
    entities = next(int(value) for name, value in facts["materialize"].items() if name.startswith("online_"))
    return Size(
        preset,
        rows=int(facts["validate"]["rows"]),
        entities=entities,
        items=int(facts["index"][ITEMS[design.name]]),
        steps=_costs(builds),
        stages=_stages(design, preset, directory),
    )


def _build(design: Design, preset: str, home: Path) -> Sequence[Mapping[str, Any]]:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    log = home / "build.log"
    command = [sys.executable, "-m", "lab", "build", design.name, "--preset", preset, "--json"]
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            check=False,
        )
    if done.returncode:
        raise LabError(f"`lab build {design.name} --preset {preset}` failed", hint=tail(log))
    rows: Sequence[Mapping[str, Any]] = json.loads(done.stdout)
    return rows


def _costs(builds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Cost]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for build in builds:
        for row in build:
            found.setdefault(row["name"], []).append(row)
    return {
        name: Cost(statistics.median(row["seconds"] for row in rows), max(row["peak_mb"] for row in rows))
        for name, rows in found.items()
    }


def _stages(design: Design, preset: str, home: Path) -> dict[str, float]:
    """Mean milliseconds of each stage over requests that one client sends one after the other."""
    settings = Settings.model_validate({"home": home, "preset": preset})
    release = step_paths(design, settings)[design.steps[-1].name]
    with served(design, home, preset, home / "serve.log") as url:
        kernels: Any = resolve(design.benchmarks)(release, design.configuration(preset), url, settings)
        client = Client(url, design.ask.path, kernels.question)
        capacity_per_s(client, clients=1, seconds=WARM_UP_S)
        before = stage_sums(httpx.get(f"{url}/metrics", timeout=30).text)
        capacity_per_s(client, clients=1, seconds=ASK_S)
        after = stage_sums(httpx.get(f"{url}/metrics", timeout=30).text)
    return mean_ms(before, after)


def stage_sums(metrics: str) -> dict[str, tuple[float, float]]:
    """Stage -> (seconds, requests) so far."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(metrics):
        if family.name == "lab_stage_seconds":
            for sample in family.samples:
                found.setdefault(sample.labels["stage"], {})[sample.name.rpartition("_")[2]] = sample.value
    return {stage: (values["sum"], values["count"]) for stage, values in found.items()}


def mean_ms(before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Milliseconds per call of the stages that ran between the two observations."""
    found = {}
    for stage, (seconds, calls) in after.items():
        earlier_s, earlier = before.get(stage, (0.0, 0.0))
        if calls > earlier:
            found[stage] = 1000 * (seconds - earlier_s) / (calls - earlier)
    return found
