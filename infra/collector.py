"""The cyclic garbage collector of a service.

Requests create no reference cycles. With the interpreter's thresholds, a growing cache made the collector scan all
objects repeatedly, for up to 100 ms each time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

COLLECT = (50_000, 20, 20)
"""thresholds of `gc.set_threshold`"""


def collect_rarely() -> None:
    """Leave all loaded objects out of later collections, and collect new ones rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


@contextmanager
def as_in_a_service() -> Iterator[None]:
    """Collect as a service does until the block ends, so that a benchmark of its parts in another process compares."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
