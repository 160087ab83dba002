"""Output directories of build steps, named after a fingerprint of all inputs of the step.

The fingerprint covers the configuration that the step reads, its code, the fingerprints of the steps that it reads,
the number of forced runs, the step's cut of live inputs, and a planted cause that changes the step. No output is
replaced in place: a changed step writes to a new directory, and `current.json` names the outputs of one build.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infra.build.step_code import code_digest
from infra.design import Design, Step, resolve
from infra.errors import UsageError
from infra.faults.planted import planted_in
from infra.files import write_atomically
from infra.live import live_log
from infra.registry.release import PREVIOUS
from infra.registry.rollout import read_rollout
from infra.settings import Settings

CURRENT = "current.json"
ROUNDS = "rounds.json"
OPTIONS = "options.json"
CUTS = "cuts.json"
VARIANTS = "variants"
DATES = "as_of"
KEPT_DATES = 7
"""builds as of a date whose outputs stay"""


def step_paths(design: Design, settings: Settings, turned: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Path]:
    """Step -> its output directory under the current code and configuration (with knobs `turned`). It may not exist."""
    prints = fingerprints(design, settings, turned)
    return {name: settings.design_root(design.name) / "steps" / name / prints[name] for name in prints}


def fingerprints(
    design: Design, settings: Settings, turned: Mapping[str, Any] = MappingProxyType({}), *, with_cuts: bool = True
) -> dict[str, str]:
    """Step -> short hash of its configuration, its code, the steps that it reads, its forced runs, its cut and the
    planted cause that changes it.

    Without cuts, the hash is the same for builds that differ only in their part of the live log.
    """
    config = design.configuration(settings.preset, turned)
    rounds = _read_rounds(rounds_file(design, settings))
    cuts = read_cuts(design, settings) if with_cuts else {}
    prints: dict[str, str] = {}
    for step in chosen_steps(design, settings):
        material = {
            "step": [step.name, step.target],
            "preset": settings.preset,
            "config": {name: asdict(getattr(config, name)) for name in step.config},
            "code": code_digest(step.target),
            "after": [prints[name] for name in step.after if name in prints],
            "round": rounds.get(step.name, 0),
            "python": list(sys.version_info[:2]),
        }
        if step.cut and with_cuts:
            material["cut"] = cuts.get(step.name, "")
        if cause := planted_in(design, settings.design_root(design.name), step.name):
            material["planted"] = cause
        prints[step.name] = hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:12]
    return prints


def chosen_steps(design: Design, settings: Settings) -> list[Step]:
    """The design's steps without the optional ones that were not chosen."""
    options = _read_options(settings.design_root(design.name) / "steps" / OPTIONS)
    return [step for step in design.steps if not step.option or step.option in options]


def choose_option(design: Design, settings: Settings, option: str, *, chosen: bool) -> None:
    """Record whether later builds run this optional step. Raises `UsageError` if the design has no such option."""
    if option not in {step.option for step in design.steps}:
        raise UsageError(f"{design.name} has no optional step {option}")
    path = settings.design_root(design.name) / "steps" / OPTIONS
    options = _read_options(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(sorted(options | {option} if chosen else options - {option})))


def take_cuts(design: Design, settings: Settings, steps: Iterable[Step]) -> None:
    """Call `Step.cut` of each of these steps that has one, and store the results until the next build.

    A build as of a date stores none: the files before a date stay the same.
    """
    if design.as_of:
        return
    before = read_cuts(design, settings)
    cuts = before | {step.name: str(resolve(step.cut)(settings)) for step in steps if step.cut}
    if cuts != before:
        write_atomically(settings.design_root(design.name) / "steps" / CUTS, json.dumps(cuts, indent=2))


def read_cuts(design: Design, settings: Settings) -> dict[str, str]:
    """Step -> its stored cut. Live events after the cut do not make a build out of date."""
    if design.as_of:
        return {
            step.name: live_log.before(str(resolve(step.cut)(settings)), design.as_of)
            for step in design.steps
            if step.cut
        }
    path = settings.design_root(design.name) / "steps" / CUTS
    cuts: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return cuts


def rounds_file(design: Design, settings: Settings) -> Path:
    """The file with the forced runs of each step. A build as of a date has its own, so that forcing one of its steps
    does not put the served build out of date."""
    root = settings.design_root(design.name) / "steps"
    return root / (f"rounds-{design.as_of}.json" if design.as_of else ROUNDS)


def force(path: Path, names: list[str]) -> None:
    """Increment the round of these steps, which changes their fingerprints.

    The steps run again and write to new directories. The old directories stay complete for their readers.
    """
    rounds = _read_rounds(path)
    write_atomically(path, json.dumps(rounds | {name: rounds.get(name, 0) + 1 for name in names}))


def point_to(pointer: Path, root: Path, paths: Mapping[str, Path], *, deletes: bool = True) -> Mapping[str, str] | None:
    """Make this build the current one, and delete all outputs except those of this build, of the previous one, of a
    running rollout and of the newest builds as of a date. Returns the outputs of the previous build, or None if this
    one was the current one. Without the lock of a build (`deletes` False), nothing is deleted: another build may have
    finished steps that no pointer names yet.

    A running service detects the change and swaps. It may read the previous build's outputs until then, and a rollback
    needs them.
    """
    wanted, before = _as_text(paths), read_pointer(pointer)
    if before == wanted:
        return None
    write_atomically(pointer.with_name(PREVIOUS), json.dumps(before, indent=2))
    write_atomically(pointer, json.dumps(wanted, indent=2))
    if deletes:
        shutil.rmtree(root / VARIANTS, ignore_errors=True)  # variants depend on the replaced build
        delete_unused(pointer.parent)
    return before


def delete_unused(design_root: Path) -> None:
    """Delete all outputs of steps except those of the current build, of the one before, of a running rollout and of the
    newest builds as of a date, and of variants."""
    root = design_root / "steps"
    pointers = [
        design_root / CURRENT,
        design_root / PREVIOUS,
        *root.glob(f"{DATES}/*.json"),
        *root.glob(f"{VARIANTS}/*.json"),
    ]
    keep = {path for pointer in pointers for path in read_pointer(pointer).values()}
    rollout = read_rollout(design_root)
    if rollout.is_active:
        keep |= set(rollout.paths.values())
    for path in root.glob("*/*"):
        if path.is_dir() and str(path) not in keep:
            shutil.rmtree(path, ignore_errors=True)


def current_output(design_root: Path, step: str) -> Path:
    """The output directory of a step of the current build. Raises `UsageError` without a build."""
    paths = read_pointer(design_root / CURRENT)
    if step not in paths:
        raise UsageError(f"{design_root.name} has not been built", hint=f"run: lab build {design_root.name}")
    return Path(paths[step])


def variant_name(design: Design, turned: Mapping[str, Any]) -> str:
    """A name for a build with these knobs turned or as of a date; empty for a build that is to be served."""
    text = json.dumps(dict(turned), sort_keys=True)
    knobs = hashlib.sha256(text.encode()).hexdigest()[:8] if turned else ""
    return "-".join(part for part in (design.as_of, knobs) if part)


def keep_variant(root: Path, name: str, paths: Mapping[str, Path]) -> None:
    """Keep the outputs of a variant until the next build that changes an output. No service uses a variant."""
    (root / VARIANTS).mkdir(exist_ok=True)
    write_atomically(root / VARIANTS / f"{name}.json", json.dumps(_as_text(paths), indent=2))


def keep_dated(root: Path, day: str, paths: Mapping[str, Path]) -> None:
    """Keep the outputs of a build as of `day`, finished or not, and those of the last `KEPT_DATES` such builds."""
    (root / DATES).mkdir(exist_ok=True)
    write_atomically(root / DATES / f"{day}.json", json.dumps(_as_text(paths), indent=2))
    for old in sorted((root / DATES).glob("*.json"), key=lambda file: file.stat().st_mtime)[:-KEPT_DATES]:
        old.unlink()


def _as_text(paths: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in paths.items()}


def read_pointer(pointer: Path) -> dict[str, str]:
    """Step -> its output; empty without the file, or with a damaged one."""
    try:
        return dict(json.loads(pointer.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # missing or damaged: the next build writes the file again
        return {}


def _read_rounds(path: Path) -> dict[str, int]:
    rounds: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return rounds


def _read_options(path: Path) -> set[str]:
    return set(json.loads(path.read_text())) if path.exists() else set()
