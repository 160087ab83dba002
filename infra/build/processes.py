"""Spreads independent parts of a step, such as the days of a history, over the cores of the machine.

The parts run in child processes, because code with many small NumPy calls holds the interpreter lock. Results come in
the order of the parts, so an output does not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from infra.build.aside import KILLED, MEMORY_HINT, become_child, check_size
from infra.errors import LabError

P = TypeVar("P")
R = TypeVar("R")
MOST_PROCESSES = 4
"""bounds the memory: every process holds what its task holds"""

_task: Callable[[Any], Any]
"""the task of a child process"""


def cores() -> int:
    """Number of cores that this process may use, at most `MOST_PROCESSES`."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, MOST_PROCESSES)


def spread(make_task: Callable[[], Callable[[P], R]], parts: Sequence[P], processes: int) -> Iterator[R]:
    """Yield `make_task()(part)` for each of `parts`, in their order.

    With one process or one part, the task runs in this process. Otherwise each child calls `make_task` once;
    `make_task`, the parts and the results are pickled. An exception of a task is raised here, and parts that have not
    begun are dropped. Raises `LabError` if a child is killed, and `ValueError` for a `make_task` of many bytes, such as
    one with arrays. Children end when this process ends, even if it is killed.
    """
    processes = min(processes, len(parts))
    if processes <= 1:
        yield from map(make_task(), parts)
        return
    check_size(make_task)
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (make_task,))
    try:
        for waiting in [pool.submit(_run, part) for part in parts]:
            yield waiting.result()
    except BrokenProcessPool:
        raise LabError(KILLED, hint=MEMORY_HINT) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(make_task: Callable[[], Callable[[Any], Any]]) -> None:
    global _task
    become_child()
    _task = make_task()


def _run(part: Any) -> Any:
    return _task(part)
