"""Runs a design's offline steps: resumable, skipped where nothing changed, never half-written.

Each step writes into a directory named after a fingerprint of everything that decides its content: the
configuration that it reads, its code, and the fingerprints of the steps before it. It works in a
`.partial` directory that is renamed at the end; so a directory under its final name is complete, and "is it
done?" is "does it exist?". A killed build loses only the step it was in.
"""

from __future__ import annotations

import errno
import fcntl
import json
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infra.build.fingerprints import (
    CURRENT,
    ROUNDS,
    chosen_steps,
    force,
    keep_variant,
    point_to,
    read_cuts,
    step_paths,
    take_cuts,
    variant_name,
)
from infra.build.memory import give_back
from infra.design import Design, Step, resolve
from infra.errors import DependencyError, LabError, UsageError
from infra.progress import Progress
from infra.settings import Settings

Facts = Mapping[str, float | int | str]
NEEDED_FREE_BYTES = 500_000_000
SUMMARY = "step.json"


@dataclass(frozen=True)
class StepContext:
    """What a step gets: its configuration, an empty directory to write to, and where earlier steps wrote.

    `report(share, text)` tells the progress, share in 0..1. `variant` names a build with knobs turned, empty otherwise.
    `cut` is what `Step.cut` answered when the build began: the part of an outside input to read, and no more.
    """

    design: Design
    settings: Settings
    config: Any
    out: Path
    inputs: Mapping[str, Path]
    report: Progress
    variant: str = ""
    cut: str = ""

    @property
    def model_name(self) -> str:
        """Under which name models of this build are registered. A variant never becomes the champion that serves."""
        return "-".join(part for part in (self.design.name, self.settings.preset, self.variant) if part)


@dataclass(frozen=True)
class StepRun:
    """How a step ended: `skipped` means that its output was there already."""

    name: str
    title: str
    path: Path
    skipped: bool
    seconds: float
    peak_mb: float
    facts: Facts


class StepObserver:
    """Follows a build. The command line draws it; the default is silent."""

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
    observer: StepObserver | None = None,
) -> list[StepRun]:
    """Run every step that is not done. `from_step` runs that one and all later ones again.

    With knobs `turned` it builds a variant beside the build that serves, from the same outputs where they are the same,
    and so from the same cut of what happened live. Steps before `from_step` also keep theirs.

    Raises `UsageError` for an unknown step or a second build of the same design at the same time, and whatever
    a step raises.
    """
    observer = observer or StepObserver()
    steps = chosen_steps(design, settings)
    names = [step.name for step in steps]
    if from_step is not None and from_step not in names:
        raise UsageError(f"{design.name} has no step {from_step!r}", hint=f"there are: {', '.join(names)}")
    root = settings.design_root(design.name) / "steps"
    with disk_errors(root), only_build(root):
        check_free_space(root)
        if not turned:
            take_cuts(design, settings, steps[names.index(from_step) :] if from_step else steps)
        lost = None if from_step else _first_lost(design, steps, settings, turned, observer)
        if again := from_step or lost:
            force(root / ROUNDS, names[names.index(again) :])
        paths, variant = step_paths(design, settings, turned), variant_name(turned)
        runs = []
        for index, step in enumerate(steps):
            observer.started(step, index, len(steps))
            if not paths[step.name].exists():
                run = _run_step(design, step, settings, paths, observer, turned)
            else:
                run = _read_summary(step, paths[step.name])
            observer.finished(run)
            runs.append(run)
        if variant:
            keep_variant(root, variant, paths)
        else:
            point_to(settings.design_root(design.name) / CURRENT, root, paths)
        return runs


def _first_lost(
    design: Design, steps: list[Step], settings: Settings, turned: Mapping[str, Any], observer: StepObserver
) -> str | None:
    """The first step that is done here, but whose rows or models a server has lost since, as with a new volume.

    A server that does not answer cannot tell; then what is here counts.
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
        observer.noticed(f"{step.name}: its output is gone from its server; running the step again")
        return step.name
    return None


@contextmanager
def only_build(root: Path) -> Iterator[None]:
    """Hold the lock of this design's builds; the kernel frees it when the process dies, however it dies."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another build is writing to {root}", hint="wait for it to end, or stop it, then try again"
            ) from None
        for left_over in root.glob("*/*.partial"):
            shutil.rmtree(left_over)
        yield


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says what to do."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LabError(
                f"the disk that holds {root} is full", hint="free some space and build again: it goes on"
            ) from exc
        if exc.errno in (errno.EROFS, errno.EACCES, errno.ENOTDIR):
            raise LabError(f"cannot write under {root}", hint="set LAB_HOME to a directory you may write to") from exc
        raise


def check_free_space(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < NEEDED_FREE_BYTES:
        raise LabError(
            f"{free / 1e6:.0f} MB free where {root} lies; a build needs {NEEDED_FREE_BYTES / 1e6:.0f} MB",
            hint="free some space, or set LAB_HOME to a directory on a larger disk",
        )


def _run_step(
    design: Design,
    step: Step,
    settings: Settings,
    paths: Mapping[str, Path],
    observer: StepObserver,
    turned: Mapping[str, Any],
) -> StepRun:
    final = paths[step.name]
    partial = final.with_suffix(".partial")
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
            variant=variant_name(turned),
            cut=read_cuts(design, settings).get(step.name, "") if step.cut else "",
        )
        facts = resolve(step.target)(context) or {}
        seconds, peak_mb = round(time.perf_counter() - started, 3), round(_peak_mb(), 1)
        summary = {"seconds": seconds, "peak_mb": peak_mb, "facts": dict(facts)}
        (partial / SUMMARY).write_text(json.dumps(summary, indent=2, default=_plain_number))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(final)
    give_back()
    return StepRun(step.name, step.title, final, False, seconds, peak_mb, facts)


def _read_summary(step: Step, path: Path) -> StepRun:
    summary = json.loads((path / SUMMARY).read_text())
    return StepRun(step.name, step.title, path, True, summary["seconds"], summary["peak_mb"], summary["facts"])


def _plain_number(value: Any) -> Any:
    """A numpy number in a step's facts, as JSON can carry it."""
    return value.item() if hasattr(value, "item") else str(value)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
