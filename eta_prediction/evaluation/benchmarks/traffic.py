"""Traffic updates for benchmarks: new states of the roads for a service that no worker accompanies.

A new state repeats the last one with other speeds and a newer time, so that an update costs what it costs in live
traffic. Without updates, the traffic of the build is too old after `speeds_ttl_s`, and every quote is degraded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from eta_prediction.domain import STANDARD
from eta_prediction.items.road_state import RoadState
from eta_prediction.online.service import EtaService
from infra.errors import LabError
from infra.live.clock import WorldClock

EVERY_S = 10.0
CHANGE = 0.05
"""standard deviation of the change of a group's log speed between two updates"""
UPDATES, POLL_S, LONGEST_S = 15, 0.001, 10.0


def next_state(state: RoadState, at_ts: float) -> RoadState:
    """`state` as of `at_ts`, with other speeds. Every update has another `snapshot_id`."""
    snapshot_id = state.snapshot_id + 1
    change = np.random.default_rng(snapshot_id).normal(0.0, CHANGE, state.forecast.shape)
    return replace(state, snapshot_id=snapshot_id, made_ts=at_ts, forecast=(state.forecast + change).astype(np.float32))


@contextmanager
def traffic_updates(state: RoadState, clock: WorldClock, path: Path, every_s: float = EVERY_S) -> Iterator[None]:
    """Write a new state to `path`, as the worker does, at the start of the block and every `every_s` until its end."""
    stop = threading.Event()

    def write() -> None:
        next_state(replace(state, snapshot_id=int(clock.now())), clock.now()).write(path)

    def keep() -> None:
        while not stop.wait(every_s):
            write()

    write()
    thread = threading.Thread(target=keep, name="traffic-updates", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def update_ms(service: EtaService, updates: int = UPDATES) -> float:
    """Median milliseconds from a new state in memory until a quote is routed with it.

    One thread applies the state, as the service does, while this one asks for quotes. Raises `LabError` if no quote
    uses a state after `LONGEST_S`.
    """
    found = []
    for _ in range(updates):
        state = next_state(service.live.state, service.clock.now())
        started = time.perf_counter()
        thread = threading.Thread(target=service.live.apply, args=(state,))
        thread.start()
        while _routed_with(service) != state.snapshot_id:
            if time.perf_counter() - started > LONGEST_S:
                raise LabError(f"no route uses a new state of the roads after {LONGEST_S:.0f} s")
            time.sleep(POLL_S)
        found.append((time.perf_counter() - started) * 1000)
        thread.join()
    return median(found)


def _routed_with(service: EtaService) -> int:
    """The state that a new quote uses."""
    query, _ = service.answer(service.query(STANDARD, {}), 0, service.city.graph.nodes - 1)
    return query.state.snapshot_id
