"""The run state: a JSON file with the running processes. The supervisor writes it; every other command reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from infra.files import write_atomically
from infra.settings import Settings


@dataclass(frozen=True)
class Running:
    """A process that `lab up` started. `started` (epoch seconds) distinguishes it from a later process with its pid.

    `own_url` is set for a replica that shares `url` with others. `design` is set for replicas, also for a single one.
    `out` states why the supervisor leaves a replica out; its process has ended, and the next one starts after a pause.
    """

    name: str
    pid: int
    started: float
    url: str = ""
    own_url: str = ""
    design: str = ""
    out: str = ""

    @property
    def direct_url(self) -> str:
        """The address at which this process, and no other replica, answers."""
        return self.own_url or self.url

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < 2
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @classmethod
    def of(cls, name: str, pid: int, url: str = "", own_url: str = "", design: str = "") -> Running:
        return cls(name, pid, psutil.Process(pid).create_time(), url, own_url, design)


@dataclass(frozen=True)
class RunState:
    supervisor: Running
    services: tuple[Running, ...]

    def write(self, settings: Settings) -> None:
        write_atomically(_path(settings), json.dumps(asdict(self), indent=2))


def read_state(settings: Settings) -> RunState | None:
    """Return the run state if its supervisor is alive, else None."""
    try:
        found = json.loads(_path(settings).read_text())
        state = RunState(Running(**found["supervisor"]), tuple(Running(**item) for item in found["services"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return state if state.supervisor.is_alive() else None


def forget_state(settings: Settings) -> None:
    _path(settings).unlink(missing_ok=True)


def pss_mb(pid: int) -> float:
    """Memory of a process in MB as proportional set size (PSS); resident set size on systems without PSS."""
    info = psutil.Process(pid).memory_full_info()
    return float(getattr(info, "pss", info.rss)) / 1e6


def _path(settings: Settings) -> Path:
    return settings.run_dir / "up.json"
