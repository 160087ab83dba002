"""Waits for a condition in tests, with a time limit that only a hang exceeds. `tries.py` judges speed."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 300.0


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Return as soon as `condition()` holds. Fails with `what` if it does not hold within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
