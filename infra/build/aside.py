"""Runs a step in a child process while later steps, which do not read its output, run in this one."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from infra.errors import LabError

R = TypeVar("R")
MOST_BYTES = 32_000
"""a pipe takes this much without a reader; starting a child that fails at once would otherwise wait for ever"""
KILLED = "a child process of the build was killed"
MEMORY_HINT = "the machine may lack memory: close other programs, then build again"


class Aside(Generic[R]):
    """`work()` in a child process from now on. The child ends when this process ends, even if it is killed.

    `work` and its result are pickled. Raises `ValueError` for a `work` of many bytes, such as one with arrays.
    """

    def __init__(self, work: Callable[[], R]) -> None:
        check_size(work)
        spawn = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of libraries hold
        self._answers, answer = spawn.Pipe(duplex=False)
        self._process = spawn.Process(target=_work, args=(answer, work))
        self._process.start()
        answer.close()

    def result(self) -> R:
        """Wait for the result. Raises the exception of `work`, and `LabError` if the child was killed."""
        try:
            result, error = self._answers.recv()
        except EOFError:
            raise LabError(KILLED, hint=MEMORY_HINT) from None
        self._process.join()
        if error is not None:
            raise error
        found: R = result
        return found

    def stop(self) -> None:
        """End the child if it still works."""
        self._process.terminate()
        self._process.join()


def check_size(work: Callable[..., Any]) -> None:
    if (size := len(pickle.dumps(work))) > MOST_BYTES:
        raise ValueError(f"a task of {size} bytes is too large: let it read or compute its arrays")


def become_child() -> None:
    """Prepare a child process: it ends with its parent, and leaves a Ctrl-C of the terminal to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent-watcher", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(answer: Connection, work: Callable[[], Any]) -> None:
    become_child()
    try:
        answer.send((work(), None))
    except Exception as exc:
        exc.add_note(traceback.format_exc())
        answer.send((None, _picklable(exc)))


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may need more arguments than it keeps
        return LabError(f"{type(error).__name__}: {error}")
    return error
