"""Runs one step of a build, for an orchestrator that runs each step as a task of its own.

A step finds the outputs of earlier steps by their fingerprints, as in a whole build. Other steps do not run. The
pointer to the current build moves only after the last step, so a service never loads half of a build.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

from infra.build.current import settle
from infra.build.fingerprints import (
    chosen_steps,
    force,
    keep_dated,
    rounds_file,
    step_paths,
    take_cuts,
)
from infra.build.outcome import recorded_outcome
from infra.build.runner import (
    AGAIN,
    StepObserver,
    StepRun,
    check_free_space,
    first_lost,
    only_build,
    read_summary,
    run_step,
)
from infra.design import Design
from infra.errors import InputsMissing, UsageError
from infra.files import disk_errors, write_atomically
from infra.settings import Settings

FORCED = "forced.json"
KEPT_RUNS = 100


def build_step(
    design: Design,
    settings: Settings,
    name: str,
    *,
    run_id: str = "",
    wait_s: float = 0.0,
    as_challenger: bool = False,
    observer: StepObserver | None = None,
) -> StepRun:
    """Run the step `name` if its output does not exist. `run_id` forces the step to run again, once per id: a task that
    an orchestrator repeats with the same id continues the run that it forced.

    A step that reads a live log takes a new cut of it. With `as_challenger`, a new model begins a rollout after the
    last step (`infra.build.current`). Raises `UsageError` for an unknown step, `InputsMissing` if an earlier step has
    no output, `Busy` if another build of the design still runs after `wait_s` seconds, and any exception of the step.
    """
    observer = observer or StepObserver()
    steps = chosen_steps(design, settings)
    names = [step.name for step in steps]
    if name not in names:
        raise UsageError(f"{design.name} has no step {name!r}", hint=f"choose one of: {', '.join(names)}")
    place = names.index(name)
    step, root = steps[place], settings.design_root(design.name) / "steps"
    outcome = nullcontext() if design.as_of else recorded_outcome(root.parent, is_whole=step is steps[-1])
    with disk_errors(root, AGAIN), only_build(root, wait_s, observer), outcome:
        check_free_space(root)
        if step.cut:
            take_cuts(design, settings, [step])
        is_forced = bool(run_id) and _force_once(root, rounds_file(design, settings), run_id, name)
        if not is_forced and first_lost(design, [step], settings, {}, observer):
            force(rounds_file(design, settings), [name])
        paths = step_paths(design, settings)
        needed = names[:-1] if step is steps[-1] else [other for other in step.after if other in paths]
        if missing := [other for other in needed if not paths[other].exists()]:
            raise InputsMissing(
                f"the step {name} of {design.name} has no output of the step {missing[0]} to read",
                hint=f"run: lab build {design.name} --only {missing[0]}",
            )
        observer.started(step, place, len(steps))
        if paths[name].exists():
            run = read_summary(step, paths[name])
        else:
            run = run_step(design, step, settings, paths, observer, {})
        observer.finished(run)
        if design.as_of:
            keep_dated(root, design.as_of, paths)
        elif step is steps[-1] and (why := settle(design, settings, paths, as_challenger=as_challenger)):
            observer.noticed(why)
        return run


def _force_once(root: Path, rounds: Path, run_id: str, name: str) -> bool:
    """Force the step `name`, unless this run has already forced it; returns whether it did. The newest `KEPT_RUNS` ids
    are kept."""
    path = root / FORCED
    forced: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    if name in forced.get(run_id, []):
        return False
    force(rounds, [name])
    forced[run_id] = [*forced.pop(run_id, []), name]
    write_atomically(path, json.dumps(dict(list(forced.items())[-KEPT_RUNS:])))
    return True
