"""Shared parts of the stream benchmarks: a separate embedded broker, and reaction events of realistic size."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from infra.design import resolve
from infra.errors import LabError, StreamUnavailable
from infra.settings import REPOSITORY, Settings
from infra.stream.address import StreamAddress, address_file, find_stream
from lab.bench.environment import environment

START_S = 20.0
DESIGN = "feed_ranking"
REACTION, ROWS = f"{DESIGN}.events.schemas:Reaction", f"{DESIGN}.events.tables:reaction_rows"
"""Dotted names of the event class that the benchmarks write, and of the function that turns its events into table
rows."""


@contextmanager
def own_broker(settings: Settings) -> Iterator[StreamAddress]:
    """Start an embedded broker under these settings for the length of the block; no other process uses the broker."""
    address_file(settings).unlink(missing_ok=True)  # a killed broker leaves its address file behind
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.stream.broker"],
        cwd=REPOSITORY,
        env=environment(settings.home) | {"LAB_PRESET": settings.preset},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield _found(settings, process)
    finally:
        process.terminate()
        process.wait(10)


def reactions(count: int, seed: int, *, now_s: float) -> Sequence[Any]:
    """Generate `count` reaction events with distinct ids, ordered by event time. `now_s` is in epoch seconds."""
    reaction, rng = resolve(REACTION), np.random.default_rng(seed)
    first_slate = int(rng.integers(2**50, 2**51))
    found = []
    for number in range(count):
        is_clicked = bool(rng.random() < 0.2)
        found.append(
            reaction(
                session_id=int(rng.integers(0, 2**50)),
                slate_id=first_slate + number // 20,
                user_id=int(rng.integers(0, 20_000)),
                post_id=int(rng.integers(0, 10**6)),
                creator_id=int(rng.integers(0, 10**4)),
                ad_id=-1,
                position=number % 20,
                depth=number % 20,
                creator_before=0,
                policy="ranked_v1",
                propensity=float(rng.random()),
                request_ts=now_s - 5.0,
                seen_ts=now_s + number * 1e-3,
                clicked=is_clicked,
                liked=is_clicked and bool(rng.random() < 0.2),
                commented=False,
                dwell_s=float(rng.exponential(8.0)) if is_clicked else 0.0,
                left=False,
                label_ts=now_s + number * 1e-3,
            )
        )
    return found


def _found(settings: Settings, process: subprocess.Popen[bytes]) -> StreamAddress:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            return find_stream(settings)
        except StreamUnavailable:
            time.sleep(0.05)
    raise LabError("the embedded broker did not start in time")
