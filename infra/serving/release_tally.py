"""Counts the answers of champion and challenger during a rollout, and writes them to a file for the monitor.

Each replica writes its own file in `rollout/` of the design's folder once a second, in both settings; the monitor adds
the files up. The counts begin with the rollout, so that both models are compared over the same time.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from infra.files import write_atomically

FOLDER = "rollout"
KEPT_S = 7 * 86_400.0


@dataclass
class Counts:
    """Requests of one model by outcome; `slow` of them took longer than the design's latency budget."""

    ok: int = 0
    degraded: int = 0
    shed: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def answered(self) -> int:
        """Requests for which the model is responsible. A request that is shed has reached no model."""
        return self.ok + self.degraded + self.failed

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


@dataclass
class ShadowCounts:
    """Requests that the challenger has computed in the shadow, those that failed, and those that were left out."""

    done: int = 0
    failed: int = 0
    shed: int = 0

    def __add__(self, other: ShadowCounts) -> ShadowCounts:
        return ShadowCounts(self.done + other.done, self.failed + other.failed, self.shed + other.shed)


@dataclass(frozen=True)
class Tallied:
    """The sum over replicas. `error` is the reason for which a replica cannot load the challenger, or empty."""

    models: Mapping[str, Counts] = field(default_factory=dict)
    shadow: ShadowCounts = field(default_factory=ShadowCounts)
    error: str = ""


class ReleaseTally(Collector):
    """The counts of one replica, by `model_version`. `slow_s` is the design's latency budget in seconds."""

    def __init__(self, root: Path, slow_s: float) -> None:
        self._folder, self._slow_s = root / FOLDER, slow_s
        self._lock = threading.Lock()
        self._written = ""
        self.begin("")

    def begin(self, digest: str) -> None:
        """Count from zero, for the rollout of the challenger with this digest."""
        with self._lock:
            self._digest, self._models, self.shadow = digest, dict[str, Counts](), ShadowCounts()

    def ended(self, version: str, outcome: str, seconds: float) -> None:
        """Count a request that the model `version` answered; `outcome` is one of `infra.telemetry.metrics.OUTCOMES`."""
        if not self._digest or outcome == "rejected":
            return
        with self._lock:
            counts = self._models.setdefault(version, Counts())
            setattr(counts, outcome, getattr(counts, outcome) + 1)
            counts.slow += seconds > self._slow_s

    def shadowed(self, what: str) -> None:
        """Count a request in the shadow: `what` is "done", "failed" or "shed"."""
        with self._lock:
            setattr(self.shadow, what, getattr(self.shadow, what) + 1)

    def write(self, error: str = "") -> None:
        """Write this replica's file if something has changed."""
        with self._lock:
            if not self._digest:
                return
            models = {version: asdict(counts) for version, counts in self._models.items()}
            content = {"digest": self._digest, "models": models, "shadow": asdict(self.shadow), "error": error}
        text = json.dumps(content)
        if text != self._written:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"replica-{socket.gethostname()}-{os.getpid()}.json", text)
            self._written = text

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "lab_rollout_responses",
            "requests of a rollout, by model and outcome",
            labels=["model", "outcome"],
        )
        with self._lock:
            for version, counts in self._models.items():
                for outcome, number in asdict(counts).items():
                    family.add_metric([version, outcome], number)
        yield family


def read_tallies(root: Path, digest: str) -> Tallied:
    """The sum of the replicas' files for the rollout of this challenger. A file of another rollout is left out."""
    models: dict[str, Counts] = {}
    shadow, error = ShadowCounts(), ""
    for file in sorted((root / FOLDER).glob("replica-*.json")):
        try:
            found = json.loads(file.read_text())
            if found["digest"] != digest:
                continue
            for version, counts in found["models"].items():
                models[version] = models.get(version, Counts()) + Counts(**counts)
            shadow, error = shadow + ShadowCounts(**found["shadow"]), error or str(found["error"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a replica replaces its file as a whole, so this one is of another version of the code
    return Tallied(models, shadow, error)


def forget_tallies(root: Path, older_than_s: float = KEPT_S) -> None:
    """Delete the files of replicas that ended long ago."""
    for file in (root / FOLDER).glob("replica-*.json"):
        if time.time() - file.stat().st_mtime > older_than_s:
            file.unlink(missing_ok=True)
