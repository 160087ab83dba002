"""Where each step's output lies: in a directory named after everything that decides its content.

The fingerprint covers the configuration that the step reads, its code, the steps before it, how often it was forced to
run again, and which part it reads of what others go on writing. So nothing is ever replaced in place: what changed lies
elsewhere, and `current.json` points to the outputs that belong together.
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
from infra.files import write_atomically
from infra.settings import Settings

CURRENT = "current.json"
ROUNDS = "rounds.json"
OPTIONS = "options.json"
CUTS = "cuts.json"
VARIANTS = "variants"


def step_paths(design: Design, settings: Settings, turned: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Path]:
    """Where each step's output lies, or would lie, under the current configuration (with knobs turned) and code."""
    prints = fingerprints(design, settings, turned)
    return {name: settings.design_root(design.name) / "steps" / name / prints[name] for name in prints}


def is_built(design: Design, settings: Settings) -> bool:
    """True if a build would skip every step and change nothing."""
    paths = step_paths(design, settings)
    pointer = settings.design_root(design.name) / CURRENT
    return all(path.exists() for path in paths.values()) and _read_pointer(pointer) == _as_text(paths)


def fingerprints(
    design: Design, settings: Settings, turned: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, str]:
    """A short hash per step: of its configuration, its code, the steps it reads, how often it was forced, its cut."""
    config = design.configuration(settings.preset, turned)
    rounds = _read_rounds(settings.design_root(design.name) / "steps" / ROUNDS)
    cuts = read_cuts(design, settings)
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
        if step.cut:
            material["cut"] = cuts.get(step.name, "")
        prints[step.name] = hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:12]
    return prints


def chosen_steps(design: Design, settings: Settings) -> list[Step]:
    """The steps of a build here: all but those whose option was not chosen."""
    options = _read_options(settings.design_root(design.name) / "steps" / OPTIONS)
    return [step for step in design.steps if not step.option or step.option in options]


def choose_option(design: Design, settings: Settings, option: str, *, chosen: bool) -> None:
    """Remember whether builds take this optional step from now on. Raises `UsageError` if the design has none such."""
    if option not in {step.option for step in design.steps}:
        raise UsageError(f"{design.name} has no optional step {option}")
    path = settings.design_root(design.name) / "steps" / OPTIONS
    options = _read_options(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(sorted(options | {option} if chosen else options - {option})))


def take_cuts(design: Design, settings: Settings, steps: Iterable[Step]) -> None:
    """Ask each of these steps that has a `cut` what there is to read now, and remember it until the next build."""
    before = read_cuts(design, settings)
    cuts = before | {step.name: str(resolve(step.cut)(settings)) for step in steps if step.cut}
    if cuts != before:
        write_atomically(settings.design_root(design.name) / "steps" / CUTS, json.dumps(cuts, indent=2))


def read_cuts(design: Design, settings: Settings) -> dict[str, str]:
    """Step -> what the last build that asked was told. Nothing that happened since makes a build out of date."""
    path = settings.design_root(design.name) / "steps" / CUTS
    cuts: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return cuts


def force(path: Path, names: list[str]) -> None:
    """Give these steps another round, and so another fingerprint: they run again into new directories, while the old
    ones stay whole for whoever reads them."""
    rounds = _read_rounds(path)
    write_atomically(path, json.dumps(rounds | {name: rounds.get(name, 0) + 1 for name in names}))


def point_to(pointer: Path, root: Path, paths: Mapping[str, Path]) -> None:
    """Name this build as the current one, and forget all but this one and the one before.

    A service that runs sees the change and swaps; until then it may read the outputs of the build before.
    """
    wanted, before = _as_text(paths), _read_pointer(pointer)
    if before == wanted:
        return
    write_atomically(pointer, json.dumps(wanted, indent=2))
    shutil.rmtree(root / VARIANTS, ignore_errors=True)  # they stood on what is replaced now
    keep = {*wanted.values(), *before.values()}
    for path in root.glob("*/*"):
        if path.is_dir() and str(path) not in keep:
            shutil.rmtree(path, ignore_errors=True)


def variant_name(turned: Mapping[str, Any]) -> str:
    """A short name for a build with these knobs turned; empty for none."""
    text = json.dumps(dict(turned), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8] if turned else ""


def keep_variant(root: Path, name: str, paths: Mapping[str, Path]) -> None:
    """Keep the outputs of a variant until the next build that changes something. Nothing serves them."""
    (root / VARIANTS).mkdir(exist_ok=True)
    write_atomically(root / VARIANTS / f"{name}.json", json.dumps(_as_text(paths), indent=2))


def _as_text(paths: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in paths.items()}


def _read_pointer(pointer: Path) -> dict[str, str]:
    try:
        return dict(json.loads(pointer.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # none yet, or damaged: it will be written anew
        return {}


def _read_rounds(path: Path) -> dict[str, int]:
    rounds: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return rounds


def _read_options(path: Path) -> set[str]:
    return set(json.loads(path.read_text())) if path.exists() else set()
