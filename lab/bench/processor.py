"""Measures the CPU time of a service per request while its worker and the broker run too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import psutil

from infra.design import Design
from infra.errors import LabError
from infra.settings import Settings
from lab.bench.up import lab_up
from lab.load.open_loop import Client, Question, capacity_per_s, open_loop
from lab.output.console import err

ID: Final = "cpu_ms_per_request"
CLIENTS, CAPACITY_S, OPEN_LOOP_S, SHARE_OF_CAPACITY = 4, 5.0, 15.0, 0.5


def cpu_of_requests(design: Design, settings: Settings, question: Question, rounds: int) -> Mapping[str, list[float]]:
    """Return the CPU milliseconds of the service process per request, one value per round.

    Each round measures the capacity and then sends `SHARE_OF_CAPACITY` of it. An extra first round warms up and does
    not count. The design must be built under `settings`.
    """
    found = []
    with lab_up(design, settings) as lab:
        client, pid = Client(lab.url, design.ask.path, question), lab.process(design.name).pid
        for number in range(rounds + 1):
            err.print(f"processor time, round {number} of {rounds}{' (to warm up)' if number == 0 else ''} …")
            rate_per_s = SHARE_OF_CAPACITY * capacity_per_s(client, clients=CLIENTS, seconds=CAPACITY_S)
            found.append(cpu_ms_per_request(client, pid, rate_per_s, OPEN_LOOP_S, seed=number))
    return {ID: found[1:]}


def cpu_ms_per_request(client: Client, pid: int, rate_per_s: float, seconds: float, seed: int) -> float:
    """User plus system milliseconds of process `pid` per request of an open loop.

    Raises `LabError` if no request was due.
    """
    process = psutil.Process(pid)
    before = process.cpu_times()
    answered = len(open_loop(client, rate_per_s=rate_per_s, seconds=seconds, seed=seed))
    after = process.cpu_times()
    if not answered:
        raise LabError(f"no request was sent at {rate_per_s:.1f}/s in {seconds:.0f} s")
    return 1000 * (after.user + after.system - before.user - before.system) / answered
