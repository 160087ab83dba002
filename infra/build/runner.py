"""Runs a design's offline steps. A build is resumable, skips unchanged steps, and writes outputs atomically.

Each step's output directory is named after a fingerprint of its inputs (`infra.build.fingerprints`). A step writes to
a `.partial` directory, which the runner renames when the step is done. A directory under its final name is therefore
complete, and a step is done if its directory exists. A killed build loses only the running step.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from infra.build.apart import StepProcess
from infra.build.current import SUMMARY, settle
from infra.build.fingerprints import (
    chosen_steps,
    force,
    keep_dated,
    keep_variant,
    read_cuts,
    rounds_file,
    step_paths,
    take_cuts,
    variant_name,
)
from infra.build.memory import release_memory
from infra.build.outcome import keep_report, recorded_outcome
from infra.build.peak import peak_memory_mb, reset_peak
from infra.design import Design, Step, resolve
from infra.errors import Busy, DependencyError, LabError, UsageError
from infra.faults.planted import planted_in
from infra.files import disk_errors
from infra.progress import Progress
from infra.settings import Settings
from infra.telemetry.timeline import Kind, record

Facts = Mapping[str, float | int | str]
NEEDED_FREE_BYTES = 500_000_000
AGAIN = "build again; finished steps are not repeated"
LOCK_POLL_S = 0.2


@dataclass(frozen=True)
class StepContext:
    """Arguments of a step: its configuration, an empty output directory `out`, and the outputs of earlier steps.

    `report(share, text)` reports the progress, with share in 0..1. `variant` names a build with turned knobs or as of a
    date, and is empty otherwise. `turned` are the turned knobs. `cut` is the result of `Step.cut` at the start of the
    build: the part of a live input to read. `planted` names the planted cause if it changes this step
    (`infra.faults.planted`).
    """

    design: Design
    settings: Settings
    config: Any
    out: Path
    inputs: Mapping[str, Path]
    report: Progress
    variant: str = ""
    cut: str = ""
    turned: Mapping[str, Any] = field(default_factory=dict)
    planted: str = ""

    @property
    def model_name(self) -> str:
        """Registered name of this build's models. A variant has its own, so it never becomes the served champion."""
        return "-".join(part for part in (self.design.name, self.settings.preset, self.variant) if part)

    def record(self, kind: Kind, text: str, **facts: Any) -> None:
        """Append to the design's timeline. A variant is not part of it, because no service loads it."""
        if not self.variant:
            record(self.settings, self.design.name, kind, text, **facts)


@dataclass(frozen=True)
class StepRun:
    """Result of a step. `skipped` is true if the output already existed."""

    name: str
    title: str
    path: Path
    skipped: bool
    seconds: float
    peak_mb: float
    facts: Facts


class StepObserver:
    """Receives the events of a build. The command line displays them; this default ignores them."""

    def started(self, step: Step, index: int, total: int) -> None: ...

    def progress(self, share: float, text: str) -> None: ...

    def finished(self, run: StepRun) -> None: ...

    def noticed(self, text: str) -> None: ...


def build(
    design: Design,
    settings: Settings,
    *,
    from_step: str | None = None,
    turned: Mapping[str, Any] = MappingProxyType({}),
    wait_s: float = 0.0,
    reason: str = "",
    as_challenger: bool = False,
    observer: StepObserver | None = None,
) -> list[StepRun]:
    """Run every step that is not done. `from_step` forces that step and all later ones to run again.

    `reason` says why a retraining runs; the timeline shows it from the time when the build has its lock. With
    `as_challenger`, a new model begins a rollout instead of being released at once (`infra.build.current`).

    With knobs `turned`, the runner builds a variant beside the served build. A variant reuses equal outputs and the
    stored cuts of the live log. Steps before `from_step` also keep their cuts.

    Raises `UsageError` for an unknown step, `Busy` if another build of the design still runs after `wait_s` seconds,
    and any exception of a step.
    """
    observer = observer or StepObserver()
    steps = chosen_steps(design, settings)
    names = [step.name for step in steps]
    if from_step is not None and from_step not in names:
        raise UsageError(f"{design.name} has no step {from_step!r}", hint=f"choose one of: {', '.join(names)}")
    root = settings.design_root(design.name) / "steps"
    outcome = nullcontext() if variant_name(design, turned) else recorded_outcome(root.parent)
    with disk_errors(root, AGAIN), only_build(root, wait_s, observer), outcome:
        check_free_space(root)
        if reason:
            record(settings, design.name, "retraining", f"started: {reason}")
        if not turned:
            take_cuts(design, settings, steps[names.index(from_step) :] if from_step else steps)
        lost = None if from_step else first_lost(design, steps, settings, turned, observer)
        if again := from_step or lost:
            force(rounds_file(design, settings), names[names.index(again) :])
        paths, variant = step_paths(design, settings, turned), variant_name(design, turned)
        runs = []
        with closing(StepProcess()) as child:
            for index, step in enumerate(steps):
                observer.started(step, index, len(steps))
                if not step.apart:
                    child.close()
                if not paths[step.name].exists():
                    run = run_step(design, step, settings, paths, observer, turned, child if step.apart else None)
                else:
                    run = read_summary(step, paths[step.name])
                observer.finished(run)
                runs.append(run)
        if design.as_of:
            keep_dated(root, design.as_of, paths)
        elif variant:
            keep_variant(root, variant, paths)
        elif why := settle(design, settings, paths, as_challenger=as_challenger):
            observer.noticed(why)
        return runs


def first_lost(
    design: Design, steps: list[Step], settings: Settings, turned: Mapping[str, Any], observer: StepObserver
) -> str | None:
    """The first step whose local output exists but whose rows or models a server has lost, for example a new volume.

    If the server does not answer, the local output counts as done.
    """
    paths = step_paths(design, settings, turned)
    for step in steps:
        if not step.still_there or not paths[step.name].exists():
            continue
        try:
            if resolve(step.still_there)(paths[step.name], settings):
                continue
        except DependencyError as exc:
            observer.noticed(f"{step.name}: {exc}; using the local outputs")
            continue
        observer.noticed(f"{step.name}: a server has lost the output of this step; running the step again")
        return step.name
    return None


@contextmanager
def only_build(root: Path, wait_s: float = 0.0, observer: StepObserver | None = None) -> Iterator[None]:
    """Hold the build lock of this design. The kernel releases the lock when the process ends, even if it is killed.

    Raises `Busy` if another process holds the lock for `wait_s` seconds. It notifies `observer` before it waits.
    """
    root.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait_s
    with (root / "build.lock").open("w") as lock:
        if wait_s and observer and not _locked(lock):
            observer.noticed(f"another build is writing to {root}; waiting at most {wait_s:g} s for it")
        while not _locked(lock):
            if time.monotonic() >= until:
                raise Busy(f"another build is writing to {root}", hint="wait for it to end, or stop it, then try again")
            time.sleep(min(LOCK_POLL_S, max(until - time.monotonic(), 0.0)))
        for left_over in root.glob("*/*.partial"):
            shutil.rmtree(left_over)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def check_free_space(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < NEEDED_FREE_BYTES:
        raise LabError(
            f"the disk of {root} has {free / 1e6:.0f} MB free; a build needs {NEEDED_FREE_BYTES / 1e6:.0f} MB",
            hint="free some space, or set LAB_HOME to a directory on a larger disk",
        )


def run_step(
    design: Design,
    step: Step,
    settings: Settings,
    paths: Mapping[str, Path],
    observer: StepObserver,
    turned: Mapping[str, Any],
    child: StepProcess | None = None,
) -> StepRun:
    """Run a step, in `child` if there is one, and rename its output to its final name when it is complete."""
    final = paths[step.name]
    partial = final.with_suffix(".partial")
    reset_peak()
    started = time.perf_counter()
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        context = StepContext(
            design=design,
            settings=settings,
            config=design.configuration(settings.preset, turned),
            out=partial,
            inputs={name: paths[name] for name in step.after if name in paths},
            report=observer.progress,
            variant=variant_name(design, turned),
            cut=read_cuts(design, settings).get(step.name, "") if step.cut else "",
            turned=dict(turned),
            planted=planted_in(design, settings.design_root(design.name), step.name),
        )
        if child is None:
            facts, peak_mb = resolve(step.target)(context) or {}, peak_memory_mb()
        else:
            facts, peak_mb = child.run(step.target, context)
        seconds, peak_mb = round(time.perf_counter() - started, 3), round(peak_mb, 1)
        summary = {"seconds": seconds, "peak_mb": peak_mb, "facts": dict(facts)}
        (partial / SUMMARY).write_text(json.dumps(summary, indent=2, default=_plain_number))
    except BaseException as exc:
        if isinstance(exc, Exception) and not variant_name(design, turned):
            keep_report(settings.design_root(design.name), partial)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(final)
    release_memory()
    return StepRun(step.name, step.title, final, False, seconds, peak_mb, facts)


def read_summary(step: Step, path: Path) -> StepRun:
    summary = json.loads((path / SUMMARY).read_text())
    return StepRun(step.name, step.title, path, True, summary["seconds"], summary["peak_mb"], summary["facts"])


def _plain_number(value: Any) -> Any:
    """Convert a numpy number in a step's facts to a value that JSON can represent."""
    return value.item() if hasattr(value, "item") else str(value)
