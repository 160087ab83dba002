"""What a design supplies for simulated traffic: its service and its worker in this process (`Design.in_process`).

The service answers as behind HTTP, and the worker writes the log and refreshes the features as behind the broker. There
is no server, no broker and no waiting: `SimulatedClock` jumps to the time of the next request.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from infra.design import Design
from infra.errors import UsageError
from infra.faults.switch import FaultSwitch
from infra.files import write_atomically
from infra.live.clock import WorldClock
from infra.registry.release import CURRENT, read_release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import Settings
from infra.stream.consumer import Received
from infra.stream.event import Codec, Event
from infra.stream.sink import Table

PATIENCE_MS = 60_000.0
"""deadline of a request, which only a hang exceeds"""
Answer = Mapping[str, Any]
Named = tuple[str, Event]
"""(topic, event)"""


class SimulatedClock(WorldClock):
    """A world clock that stands still between two calls of `at_least`."""

    def now(self) -> float:
        return self._anchor


class Features(Protocol):
    """The effect of the worker that refreshes features."""

    def resume(self, epoch: str) -> object: ...

    def apply(self, batch: Sequence[Received]) -> None: ...

    def try_refresh(self, at_ts: float) -> None: ...


class InProcess(Protocol):
    """Opened by `resolve(Design.in_process)(settings, clock)` for the current release. `logged` and `watched` are the
    topics of the two consumers of the worker (`infra.stream.consumer_set`)."""

    logged: Mapping[str, tuple[Codec, Table]]
    watched: Mapping[str, Codec]
    features: Features
    window: int
    """requests of a simulated window"""
    rate_per_s: float
    """requests per second: a window lasts longer than it takes a label to become mature"""
    round_s: float
    """world time between two rounds of the worker, which makes one every second in a running lab"""

    def answer(self, body: Mapping[str, Any], number: int, seed: int) -> tuple[Answer, Named]:
        """The response to a request of a simulated user, and the entry for the prediction log. Requests have ascending
        numbers; the seed decides the random choices."""
        ...

    def events(self, body: Mapping[str, Any]) -> Sequence[Named]:
        """The events of a body that simulated users send (`infra.evaluation.population`), received now."""
        ...

    def follow(self, events: Sequence[Event]) -> None:
        """Apply what the worker wrote last for the service, and new `events` that a service follows by itself."""
        ...


def patient_parts(settings: Settings, config: Any, clock: WorldClock) -> tuple[SharedParts, Any]:
    """The shared parts of a service, and `config` with a timeout of the feature store that only a hang exceeds."""
    breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
    shared = SharedParts(settings, breaker, Bulkhead("feature_store", workers=1, queue=1), FaultSwitch(), clock=clock)
    return shared, replace(config, serve=replace(config.serve, feature_timeout_ms=PATIENCE_MS))


def home_for(design: Design, settings: Settings, home: Path) -> Settings:
    """Settings of the new home `home` with the current release of `design`, its own online store and an empty live log.

    The other outputs of the build are read where they are. Raises `UsageError` without a release or with Redis.
    """
    if settings.redis is not None:
        raise UsageError("simulated traffic needs the embedded feature store", hint="unset LAB_REDIS")
    root, found = settings.design_root(design.name), settings.model_copy(update={"home": home})
    release, new = read_release(root), found.design_root(design.name)
    store = Path(release.features_path)
    own = new / "steps" / store.parent.name / store.name  # Feast's project has the name of the directory
    shutil.copytree(store, own)
    out = new / "steps" / "release" / "simulated"
    out.mkdir(parents=True)
    replace(release, features_path=str(own), released_ts=0.0).write(out)
    steps = json.loads((root / CURRENT).read_text()) | {"release": str(out)}
    write_atomically(new / CURRENT, json.dumps(steps))
    return found
