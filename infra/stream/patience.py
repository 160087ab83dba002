"""Keeps kafka-python from spinning: a selector that is asked too often pauses.

While a broker is away, a producer of kafka-python 3.0 asks its selector again and again without waiting: the time until
it may connect again is in seconds and taken for milliseconds, and each look at a topic without a leader wakes it up.
That takes a whole core, and the interpreter from the requests beside it, until its events have expired.
"""

from __future__ import annotations

import selectors
import time
from typing import Any

PER_S, AT_ONCE = 500.0, 500.0
"""more than a busy producer needs: it asks a few times for each batch"""
PAUSE_S = 0.005


class PatientSelector(selectors.DefaultSelector):
    """The system's selector, with a token bucket: `PER_S` questions a second go through, `AT_ONCE` after a rest."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens, self._asked_s = AT_ONCE, time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        now_s = time.monotonic()
        self._tokens = min(AT_ONCE, self._tokens + (now_s - self._asked_s) * PER_S)
        self._asked_s = now_s
        if self._tokens < 1:
            time.sleep(PAUSE_S)
        self._tokens -= 1
        return super().select(timeout)
