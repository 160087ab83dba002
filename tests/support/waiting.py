"""Waits for a condition in tests, with a time limit that only a hang exceeds. `tries.py` judges speed."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 300.0
POLL_S = (0.01, 0.25)
"""Shortest and longest pause between two looks. A look is often an HTTP request or a command, which takes CPU from
other tests, so the pauses grow."""


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Return as soon as `condition()` holds. Fails with `what` if it does not hold within `seconds`."""
    end, pause = time.monotonic() + seconds, POLL_S[0]
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(pause)
        pause = min(1.5 * pause, POLL_S[1])
