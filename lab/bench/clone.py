"""Measures a first start: a fresh clone of the last commit, and the `make` targets of the README.

The package caches are of this run, and filled before the clock starts: a network is not a property of the lab.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from infra.design import Design
from infra.errors import LabError
from infra.settings import REPOSITORY
from lab.output.console import err
from lab.services.ports import base_port_for, free_port
from lab.services.runstate import pss_mb

UP_TIMEOUT_S, TEST_TIMEOUT_S = 600.0, 1800.0


@dataclass
class CloneBench:
    """Measures the figures of a fresh clone. The parts run in order; later parts use the clone of the first part."""

    design: Design
    directory: Path
    rounds: int
    found: dict[str, list[float]]

    @property
    def clone(self) -> Path:
        return self.directory / "clone"

    ids = frozenset({"clone_to_slate_s", "again_s", "serve_pss_mb", "up_pss_mb", "tests_s"})

    def parts(self) -> list[tuple[frozenset[str], Callable[[], None]]]:
        """Return (ids of the figures that need the part, part) in the order of execution."""
        return [
            (self.ids, self.first_up),
            (frozenset({"again_s", "serve_pss_mb", "up_pss_mb"}), self.again),
            (frozenset({"tests_s"}), self.tests),
        ]

    def first_up(self) -> None:
        err.print("downloading the packages …")
        self.port = free_port()
        self._clone()
        self._make("env", UP_TIMEOUT_S)
        shutil.rmtree(self.clone)
        err.print("cloning, setting up and building …")
        started = time.perf_counter()
        self._clone()
        with self.up(started) as (seconds, process):
            self.found["clone_to_slate_s"] = [seconds]
            self._weigh(process.pid)

    def _clone(self) -> None:
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(self.clone)], check=True)

    def again(self) -> None:
        for number in range(self.rounds):
            err.print(f"starting again, {number + 1} of {self.rounds} …")
            with self.up(time.perf_counter()) as (seconds, process):
                self.found.setdefault("again_s", []).append(seconds)
                self._weigh(process.pid)

    def _weigh(self, root: int) -> None:
        """Record the memory at every start. The first start compiles its imports, so it takes the most memory."""
        for name, size in zip(("serve_pss_mb", "up_pss_mb"), memory(root), strict=True):
            self.found.setdefault(name, []).append(size)

    def tests(self) -> None:
        """Run `make env-dev` without timing, then time `make test`, including the build of its world."""
        err.print("running the tests …")
        for timed in (False, True):
            started = time.perf_counter()
            self._make("test" if timed else "env-dev", TEST_TIMEOUT_S)
            if timed:
                self.found["tests_s"] = [time.perf_counter() - started]

    def _make(self, target: str, timeout_s: float) -> None:
        command, env = ["make", target], self.environment
        done = subprocess.run(command, cwd=self.clone, env=env, capture_output=True, timeout=timeout_s, check=False)
        if done.returncode != 0:
            raise LabError(f"`make {target}` failed", hint=done.stdout.decode(errors="replace")[-2000:])

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables of a new user: no settings of the lab, and package caches of this run alone."""
        ours = ("LAB_", "VIRTUAL_ENV", "UV_", "MAKE", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        caches = {f"{tool.upper()}_CACHE_DIR": str(self.directory / "cache" / tool) for tool in ("uv", "pip")}
        return kept | caches | {"LAB_PORT": str(base_port_for(self.design, self.port))}

    @contextlib.contextmanager
    def up(self, started: float) -> Iterator[tuple[float, subprocess.Popen[bytes]]]:
        """Run `make up`, yield (seconds from `started` to the first slate, process), and stop it with SIGINT."""
        self.port = free_port()
        log = self.directory / "up.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["make", "up", f"DESIGN={self.design.name}"],
                cwd=self.clone,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_slate(process, log)
            yield time.perf_counter() - started, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(30)

    def _await_slate(self, process: subprocess.Popen[bytes], log: Path) -> None:
        body = self.design.ask.example()
        url = f"http://127.0.0.1:{self.port}{self.design.ask.path}"
        until = time.monotonic() + UP_TIMEOUT_S
        while time.monotonic() < until:
            if process.poll() is not None:
                raise LabError(
                    "`make up` ended before the service answered", hint=log.read_text(errors="replace")[-2000:]
                )
            with contextlib.suppress(httpx.HTTPError):
                if httpx.post(url, json=body, timeout=5).is_success:
                    return
            time.sleep(0.05)
        raise LabError(f"no slate after {UP_TIMEOUT_S:.0f} s", hint=log.read_text(errors="replace")[-2000:])


def memory(root: int) -> tuple[float, float]:
    """Return PSS in MB: (the largest serving process below `root`, `root` and all processes below it)."""
    children = psutil.Process(root).children(recursive=True)
    sizes = {child.pid: pss_mb(child.pid) for child in children}
    served = [sizes[child.pid] for child in children if "lab.services.serving" in child.cmdline()]
    return max(served), sum(sizes.values()) + pss_mb(root)
