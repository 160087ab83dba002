"""A Compose stack has its own project and ports, and is settled when servers are healthy and jobs have ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.errors import LabError
from lab.bench.compose.starts import _megabytes
from lab.services.composing import PORTS, Stack


class ReportedStack(Stack):
    """A stack whose `docker compose ps` returns the given rows."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__("test")
        object.__setattr__(self, "rows", rows)

    def compose(self, *words: str, timeout_s: float = 0) -> str:
        return "\n".join(map(json.dumps, self.rows)) if words[0] == "ps" else "out of memory"  # type: ignore[attr-defined]


def row(service: str, state: str, *, health: str = "", code: int = 0) -> dict[str, Any]:
    return {"Service": service, "State": state, "Health": health, "ExitCode": code}


ENDED = [row("setup", "exited"), row("build", "exited")]


def test_stack_is_built_when_servers_are_healthy_and_jobs_have_ended() -> None:
    assert ReportedStack([*ENDED, row("feed", "running", health="healthy")]).is_built()
    assert not ReportedStack([*ENDED, row("feed", "running", health="starting")]).is_built()
    assert not ReportedStack([row("build", "running"), row("feed", "running", health="healthy")]).is_built()
    assert not ReportedStack([*ENDED, row("feed", "exited")]).is_built()
    assert not ReportedStack([]).is_built()


def test_stack_with_a_rejected_build_is_built_once_the_old_release_serves() -> None:
    refused = [row("setup", "exited"), row("build", "exited", code=3)]
    assert ReportedStack([*refused, row("feed", "running", health="healthy")]).is_built()
    assert not ReportedStack([*refused, row("feed", "running", health="starting")]).is_built()


def test_failed_build_raises_an_error_with_its_log() -> None:
    with pytest.raises(LabError, match="build ended with status 137") as caught:
        ReportedStack([row("build", "exited", code=137)]).is_built()
    assert "out of memory" in caught.value.hint


def test_stack_has_its_own_ports_and_ignores_environment_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PRESET", "large")
    monkeypatch.setenv("COMPOSE_PROFILES", "load")
    environment = Stack("test").environment
    assert len({environment[name] for name in PORTS}) == len(PORTS)
    assert environment["COMPOSE_PROJECT_NAME"] == "test"
    assert "LAB_PRESET" not in environment
    assert "COMPOSE_PROFILES" not in environment


@pytest.mark.parametrize(("text", "mb"), [("212.4MiB", 222.72), ("1.5GiB", 1610.61), ("900KiB", 0.92), ("0B", 0.0)])
def test_memory_parser_reads_the_units_of_docker(text: str, mb: float) -> None:
    assert _megabytes(text) == pytest.approx(mb, abs=0.01)
