"""Swaps the served release 20 times in a minute while requests run."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from infra.design import Design
from infra.errors import LabError
from infra.evaluation.copied_release import copied_release
from infra.files import write_atomically
from infra.registry.release import CURRENT, Release, read_release
from lab.bench.up import OwnLab

SWAPS, EVERY_S, BEFORE_S = 20, 3.0, 20.0
RATE_PER_S = 20.0
USERS = 500


@dataclass
class Probe:
    """Posts a request for another user `RATE_PER_S` times a second. `sent` holds (began, seconds, status, model)."""

    url: str
    path: str
    sent: list[tuple[float, float, int, str]] = field(default_factory=list)

    def __enter__(self) -> Probe:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(first,), daemon=True) for first in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)

    def p99_ms(self, from_s: float, to_s: float) -> float:
        """The 99th percentile of the latency of requests that began in [from_s, to_s) of `time.monotonic`."""
        found = [seconds for began, seconds, status, _ in self.sent if from_s <= began < to_s and status == 200]
        return float(np.quantile(found, 0.99)) * 1000 if found else float("nan")

    def _run(self, first: int) -> None:
        number = first
        with httpx.Client(timeout=20.0) as client:
            while not self._stop.wait(4 / RATE_PER_S):
                began, status, model = time.monotonic(), 0, ""
                try:
                    answer = client.post(self.url + self.path, json={"user_id": number % USERS, "k": 20})
                    status, model = answer.status_code, str(answer.json().get("model_version", ""))
                except (httpx.HTTPError, ValueError):
                    pass
                self.sent.append((began, time.monotonic() - began, status, model))
                number += 4


def measure_swaps(design: Design, lab: OwnLab, rounds: int) -> dict[str, list[float]]:
    """Alternate between two copies of the release, and return failures and the ratio of the p99."""
    root = lab.settings.design_root(design.name)
    before, served = (root / CURRENT).read_text(), read_release(root)
    copies = [copied_release(served, fresh_folder(lab, number), 7000 + number) for number in range(2)]
    try:
        with Probe(lab.url, design.ask.path) as probe:
            began = time.monotonic()
            time.sleep(BEFORE_S)
            swapping = time.monotonic()
            for number in range(SWAPS):
                _serve(lab, design, copies[number % 2])
                time.sleep(EVERY_S)
            ended = time.monotonic()
    finally:
        write_atomically(root / CURRENT, before)
    failures = sum(status != 200 for _, _, status, _ in probe.sent)
    seen = {model for _, _, _, model in probe.sent if model}
    if missing := {f"{copy.model_name}/{copy.model_version}" for copy in copies} - seen:
        raise LabError(f"no request was answered by {', '.join(sorted(missing))}")
    ratio = probe.p99_ms(swapping, ended) / probe.p99_ms(began, swapping)
    return {"swap_failures": [float(failures)], "swap_p99_ratio": [ratio]}


def fresh_folder(lab: OwnLab, number: int) -> Path:
    """An empty folder for a copied release."""
    folder = lab.settings.home / "copies" / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _serve(lab: OwnLab, design: Design, release: Release) -> None:
    root = lab.settings.design_root(design.name)
    step = lab.settings.home / "copies" / f"release-{release.model_version}"
    step.mkdir(parents=True, exist_ok=True)
    release.write(step)
    steps = json.loads((root / CURRENT).read_text()) | {"release": str(step)}
    write_atomically(root / CURRENT, json.dumps(steps))
