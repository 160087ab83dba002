"""A composed fault is a stopped container, and holds once the stop has taken effect."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from eta_prediction.config import PRESETS
from eta_prediction.evaluation.drills import DRILLS
from infra.errors import DependencyError
from infra.evaluation.drill import Inject
from lab.drills import faults
from lab.drills.faults import ComposedFaults, composed_pids

METHOD = Inject("traffic", "stale", service="eta-worker", effect_after_s=305.0)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Records the commands and the waits of the code instead of running them."""
    found: list[object] = []

    def compose(*words: str) -> str:
        found.append(" ".join(words))
        return "running healthy\n"

    monkeypatch.setattr(faults, "compose", compose)
    monkeypatch.setattr(faults.time, "sleep", found.append)
    return found


def test_injection_waits_until_the_stop_takes_effect(done: list[object]) -> None:
    ComposedFaults().inject(METHOD)
    ComposedFaults().inject(replace(METHOD, service="redis", effect_after_s=0.0))
    assert done == ["stop eta-worker", 305.0, "stop redis", 0.0]


def test_clearing_starts_the_container_and_waits_until_it_is_healthy(done: list[object]) -> None:
    ComposedFaults().clear(METHOD)
    assert done[0] == "start eta-worker"
    assert [command for command in done[1:] if "eta-worker" not in str(command)] == []


def test_container_that_is_not_healthy_is_refused_before_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "compose", lambda *words: "exited\n")
    with pytest.raises(DependencyError, match="eta-worker is not up and healthy"):
        ComposedFaults().check(METHOD)


def test_traffic_drill_waits_until_the_last_state_of_the_roads_is_too_old() -> None:
    (method,) = [drill.method for drill in DRILLS if drill.name == "traffic_feed_down"]
    assert all(method.effect_after_s > config.route.speeds_ttl_s for config in PRESETS.values())


def test_processes_of_the_project_are_found_with_one_call_of_docker_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def compose(*words: str) -> str:
        calls.append(words)
        return "ours\nstopped\n"

    def running(keys: list[str]) -> list[SimpleNamespace]:
        shim = "containerd-shim-runc-v2"
        found = [(shim, ["-id", "ours"]), (shim, ["-id", "theirs"]), ("grep", ["ours"]), (None, None)]
        return [SimpleNamespace(pid=pid, info=dict(zip(keys, values, strict=True))) for pid, values in enumerate(found)]

    monkeypatch.setattr(faults, "compose", compose)
    monkeypatch.setattr("lab.drills.faults.psutil.process_iter", running)
    pids = composed_pids()
    assert [pids(), pids()] == [[0], [0]]
    assert len(calls) == 1
