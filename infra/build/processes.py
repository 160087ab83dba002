"""Spreads independent parts of a step, such as the days of a history, over the cores of the machine.

The parts run in child processes, because code with many small NumPy calls holds the interpreter lock. Results come in
the order of the parts, so an output does not depend on the number of processes. Children are spawned: a fork would copy
locks that the threads of libraries hold.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from infra.errors import LabError

P = TypeVar("P")
R = TypeVar("R")
MOST_PROCESSES = 4
"""bounds the memory: every process holds what its task holds"""

MOST_BYTES = 32_000
"""a pipe takes this much without a reader; starting a child that fails at once would otherwise wait for ever"""

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
    if (size := len(pickle.dumps(make_task))) > MOST_BYTES:
        raise ValueError(f"a task of {size} bytes is too large: let it read or compute its arrays")
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (make_task,))
    try:
        for waiting in [pool.submit(_run, part) for part in parts]:
            yield waiting.result()
    except BrokenProcessPool:
        raise LabError(
            "a child process of the build was killed",
            hint="the machine may lack memory: close other programs, then build again",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(make_task: Callable[[], Callable[[Any], Any]]) -> None:
    global _task
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all processes; the parent decides
    threading.Thread(target=end_with_parent, name="parent-watcher", daemon=True).start()
    _task = make_task()


def _run(part: Any) -> Any:
    return _task(part)


def end_with_parent() -> None:
    """Wait for the end of the parent process, then end this one. For a thread of a child."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
