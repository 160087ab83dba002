"""Runs a build and shows its progress: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.build.runner import StepObserver, StepRun, build
from infra.design import Design, Step
from infra.settings import Settings
from lab.output.console import err

T = TypeVar("T")
TELL_EVERY_S = 10.0
"""seconds between two lines of progress of one step, without a terminal"""


def run_build(
    design: Design, settings: Settings, *, from_step: str | None = None, wait_s: float = 0.0, reason: str = "",
    as_challenger: bool = False,
) -> list[StepRun]:  # fmt: skip
    """Build the design and show progress on standard error. `reason` says why a retraining runs. With `as_challenger`,
    the new model begins a rollout."""

    def work(observer: StepObserver) -> list[StepRun]:
        return build(design, settings, from_step=from_step, wait_s=wait_s, reason=reason, as_challenger=as_challenger,
            observer=observer)  # fmt: skip

    return with_progress(work)


def with_progress(work: Callable[[StepObserver], T]) -> T:
    """Call `work` with an observer that shows progress on standard error."""
    if not err.is_terminal:
        return work(_Lines())
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("[dim]{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        return work(_Bar(progress))


def stop_at_once() -> None:
    """Make SIGINT and SIGTERM end this process immediately with `os._exit`.

    An exception is not reliable: large libraries swallow it in a bare `except` during import. An immediate exit loses
    no data: a step writes unfinished output under a temporary name, and the next build removes it.
    """

    def stop(number: int, _: FrameType | None) -> None:
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h\n")  # the progress bar hides the cursor
        os.write(2, b"stopped; the same command goes on from the step it was in\n")
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def describe_run(run: StepRun) -> str:
    facts = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in run.facts.items()
    )
    state = "up to date" if run.skipped else f"{run.seconds:5.1f} s"
    return f"{run.name:<12} {state:>13}  {facts}"


class _Lines(StepObserver):
    def started(self, step: Step, index: int, total: int) -> None:
        self._place, self._title = f"{index + 1}/{total}", step.title
        self._told = time.monotonic()

    def progress(self, share: float, text: str) -> None:
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            err.print(f"{self._place}  {self._title}: {share:.0%}  {text}", markup=False, soft_wrap=True)

    def finished(self, run: StepRun) -> None:
        err.print(f"{self._place}  {describe_run(run)}", markup=False, soft_wrap=True)

    def noticed(self, text: str) -> None:
        err.print(text, markup=False, soft_wrap=True)


class _Bar(StepObserver):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=1.0, note="")

    def started(self, step: Step, index: int, total: int) -> None:
        self._place = f"{index + 1}/{total}"
        self._progress.reset(self._task, description=f"{self._place}  {step.title}", note="", completed=0)

    def progress(self, share: float, text: str) -> None:
        self._progress.update(self._task, completed=share, note=text)

    def finished(self, run: StepRun) -> None:
        err.print(f"{self._place}  {describe_run(run)}", markup=False, soft_wrap=True)

    def noticed(self, text: str) -> None:
        err.print(text, markup=False, soft_wrap=True)
