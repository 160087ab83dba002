"""`lab bench together`: all designs of one `lab up`: the time until they answer, and the memory of their processes.

The home is kept, so only the first run builds. Memory is measured after `REQUESTS` requests to each design, when every
part has loaded what it needs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from infra.design import Design
from infra.errors import LabError, UsageError
from infra.evaluation.figures import Bound, Figure, of_rounds
from infra.settings import REPOSITORY, Settings
from lab.bench.environment import environment
from lab.designs import load_designs
from lab.output.console import err
from lab.services.ports import free_port, url_of
from lab.services.processes import tail
from lab.services.runstate import pss_mb, read_state

PRESET: Final = "small"
UP_S, STOP_S = 1_800.0, 30.0
REQUESTS = 100
TOGETHER_BOUNDS = (
    Bound("again_all_s", "second `lab up` → all designs have answered a request", "s", "<= 12", "<= 6"),
    Bound("up_all_pss_mb", "memory (PSS) of all processes of that `lab up`", "MB", "<= 1500", "<= 1200"),
    *(
        Bound(f"{part}_pss_mb_{short}", f"{short}: memory (PSS) of the {part}", "MB", must, aim)
        for part, must, aim in (("service", "<= 250", "<= 200"), ("worker", "<= 200", "<= 150"))
        for short in ("feed", "ads", "rides")
    ),
)
SHORT = {"feed_ranking": "feed", "ctr_prediction": "ads", "eta_prediction": "rides"}


def measure_together(only: Sequence[str] | None, rounds: int, home: Path) -> list[Figure]:
    """Measure the figures of `TOGETHER_BOUNDS`. The builds stay in `home` for the next run.

    Raises `UsageError` for an unknown id, and `LabError` if a lab does not get ready.
    """
    bounds = {bound.id: bound for bound in TOGETHER_BOUNDS}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    designs, found = load_designs(), dict[str, list[float]]()
    for number in range(rounds + 1):
        err.print(
            f"starting all designs, round {number} of {rounds}{' (builds what is missing)' if not number else ''}"
        )
        with _all_up(designs, home / "bench-together") as values:
            for name, value in values.items() if number else ():
                found.setdefault(name, []).append(value)
    return [of_rounds(bound, found[bound.id]) for bound in TOGETHER_BOUNDS if not only or bound.id in only]


@contextlib.contextmanager
def _all_up(designs: Sequence[Design], home: Path) -> Iterator[Mapping[str, float]]:
    """Run all designs until the block ends, and yield the values of one start. Raises `LabError` if a design does not
    answer."""
    home.mkdir(parents=True, exist_ok=True)
    settings, log = Settings(home=home, preset=PRESET, port=free_port()), home / "up.log"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "up"],
            cwd=REPOSITORY,
            env=environment(home) | {"LAB_PRESET": PRESET, "LAB_PORT": str(settings.port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for design in designs:
            _await_answer(design, settings, process, log)
        seconds = time.perf_counter() - began
        for design in designs:
            for _ in range(REQUESTS):
                _asks(design, settings)
        yield {"again_all_s": seconds, **_memory(settings)}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_S)


def _await_answer(design: Design, settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + UP_S
    while not _asks(design, settings):
        if process.poll() is not None or time.monotonic() > until:
            raise LabError(f"{design.name} of `lab up` did not answer", hint=tail(log))
        time.sleep(0.05)


def _asks(design: Design, settings: Settings) -> bool:
    """Send the design's example request; true if the answer's status is 200."""
    with contextlib.suppress(httpx.TransportError):
        url = f"{url_of(design, settings)}{design.ask.path}"
        return httpx.post(url, json=design.ask.example(), timeout=5).is_success
    return False


def _memory(settings: Settings) -> Mapping[str, float]:
    """Figure -> PSS in MB, of the processes in the run state of `settings`."""
    state = read_state(settings)
    if state is None:
        raise LabError("`lab up` wrote no run state")
    sizes = {one.name: pss_mb(one.pid) for one in state.services}
    found = {"up_all_pss_mb": sum(sizes.values()) + pss_mb(state.supervisor.pid)}
    for name, short in SHORT.items():
        found[f"service_pss_mb_{short}"] = sizes[name]
        found[f"worker_pss_mb_{short}"] = sizes[f"{name}-worker"]
    return found
