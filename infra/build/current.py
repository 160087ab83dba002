"""Makes the outputs of a finished build the current ones, and records the release in the design's timeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.build.fingerprints import CURRENT, point_to
from infra.design import Design
from infra.settings import Settings
from infra.telemetry.timeline import record

SUMMARY = "step.json"
"""the file in a step's output with its seconds, peak memory and facts"""


def make_current(design: Design, settings: Settings, paths: Mapping[str, Path]) -> None:
    """Point `current.json` to these outputs: step -> directory. A build that changed no output is not recorded.

    The recorded seconds are those of the steps whose outputs are new, also if a process of its own ran each step.
    """
    root = settings.design_root(design.name)
    replaced = point_to(root / CURRENT, root / "steps", paths)
    if replaced is None:
        return
    new = [name for name, path in paths.items() if replaced.get(name) != str(path)]
    seconds = round(sum(_summary(paths[name])["seconds"] for name in new), 1)
    version = _summary(paths[design.steps[-1].name])["facts"].get("version")
    what = "a build without a model" if version is None else f"model version {version}"
    text = f"{what} is released; {len(new)} of {len(paths)} steps ran, {seconds:g} s"
    record(settings, design.name, "build", text, version=version, seconds=seconds, steps=new)


def _summary(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / SUMMARY).read_text())
    return found
