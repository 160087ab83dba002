"""Runs steps in a child process of the build, so that their libraries and freed memory do not stay.

The steps that use Feast, pandas and DuckDB leave 350 to 430 MB in a process. The steps after them, which train, need
their memory. Consecutive steps share a child, so each library is imported once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from infra.build.memory import release_memory
from infra.build.peak import peak_memory_mb, reset_peak
from infra.build.processes import end_with_parent
from infra.design import resolve
from infra.errors import LabError
from infra.progress import Progress

STOP_S = 10.0


class StepProcess:
    """A child process for steps. It starts with the first step and ends with `close`, or when this process ends, even
    if it is killed. Not thread-safe."""

    def __init__(self) -> None:
        self._pipe: Connection | None = None
        self._process: Any = None

    def run(self, target: str, context: Any) -> tuple[Mapping[str, Any], float]:
        """Call the step `target` with `context`, a `StepContext`, in the child. Return the step's facts and the child's
        peak memory in MB. `context.report` is called in this process.

        Raises what the step raises, and `LabError` if the child is killed.
        """
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        report: Progress = context.report
        try:
            self._pipe.send((target, replace(context, report=_silent)))
            while True:
                kind, *values = self._pipe.recv()
                if kind == "progress":
                    report(*values)
                elif kind == "done":
                    return values[0], values[1]
                else:
                    raise values[0]
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.close()
            raise LabError(
                "a child process of the build was killed",
                hint="the machine may lack memory: close other programs, then build again",
            ) from None

    def close(self) -> None:
        """End the child. A step that runs in it is cut off."""
        if self._pipe is not None:
            self._pipe.close()
            self._process.terminate()
            self._process.join(STOP_S)
            self._pipe = None

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs,), name="build-steps")
        self._process.start()
        theirs.close()


def _silent(share: float, text: str) -> None:
    """Stands in for the progress callback on the way to the child, which cannot call a function of its parent."""


def _serve(pipe: Connection) -> None:
    """The child: run steps until the parent closes its end of the pipe."""
    os.dup2(2, 1)  # the build's standard output holds its result, for example JSON
    # DuckDB takes a process without a main file for an interactive one and shows progress bars there.
    sys.modules["__main__"].__file__ = __file__
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all processes; the parent decides
    threading.Thread(target=end_with_parent, name="parent-watcher", daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            target, context = pipe.recv()
            reset_peak()
            try:
                facts = resolve(target)(replace(context, report=_sender(pipe))) or {}
                answer = pickle.dumps(("done", dict(facts), peak_memory_mb()))
            except Exception as error:
                answer = _failure(error)
            pipe.send_bytes(answer)
            release_memory()


def _sender(pipe: Connection) -> Progress:
    return lambda share, text: pipe.send(("progress", share, text))


def _failure(error: Exception) -> bytes:
    """The answer about a step that failed. The traceback of the child becomes a note of the exception."""
    where = "".join(traceback.format_exception(error))
    error.add_note(f"in a child process of the build:\n{where}")
    try:
        answer = pickle.dumps(("failed", error))
        pickle.loads(answer)  # some exceptions cannot be made again from their bytes
        return answer
    except Exception:
        return pickle.dumps(("failed", LabError(f"{type(error).__name__}: {error}", hint=where)))
