"""Tests wait for a condition, with a bound that only a hang reaches. `tries.py` judges how fast something is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 300.0


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Return as soon as `condition()` holds. Fails with `what` when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
