"""Times of functions that run alternately, so that other load on the machine affects all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median


def time_alternately(works: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """Median time in seconds of each function in `works`. The functions run alternately, `runs` times each."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for place, work in enumerate(works):
            started = time.perf_counter()
            work()
            times[place].append(time.perf_counter() - started)
    return [median(found) for found in times]
