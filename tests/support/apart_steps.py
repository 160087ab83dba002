"""Steps that run in a child process of a build, for its tests."""

from __future__ import annotations

import os
import signal
import sys

from infra.build.runner import StepContext
from infra.errors import DataRejected


def tell_process(context: StepContext) -> dict[str, int]:
    context.report(0.5, "half")
    return {"pid": os.getpid()}


def speak(_: StepContext) -> dict[str, int]:
    print("a library's progress bar", flush=True)
    return {"has_main_file": int(hasattr(sys.modules["__main__"], "__file__"))}


def reject(context: StepContext) -> None:
    (context.out / "half.txt").write_text("half")
    raise DataRejected("rows without a user", hint="look at the report")


class Unpicklable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def fail_strangely(_: StepContext) -> None:
    raise Unpicklable("two", "arguments")


def die(_: StepContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
