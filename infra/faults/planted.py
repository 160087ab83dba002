"""The planted cause of a design, in a small file that `lab plant` writes.

A cause makes a model good offline and bad online, by a small change at one real place (`infra.design.Plant`). Builds,
services and `lab skew` read this file, as they would run code with that mistake. A build reads it for the steps that
the cause changes, and their fingerprints include it. No output names the cause.
"""

from __future__ import annotations

import json
from pathlib import Path

from infra.design import Design
from infra.errors import CorruptArtifact
from infra.files import write_atomically

FILE = "planted.json"
NO_FILE = (0, 0)


def read_planted(design_root: Path) -> str:
    """The name of the planted cause, empty without one. Raises `CorruptArtifact` if the file is damaged."""
    path = design_root / FILE
    try:
        return str(json.loads(path.read_text())["cause"])
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, KeyError) as exc:
        raise CorruptArtifact(f"{path} is damaged", hint=f"run: lab plant {design_root.name} --clear") from exc


def write_planted(design_root: Path, cause: str) -> None:
    write_atomically(design_root / FILE, json.dumps({"cause": cause}))


def clear_planted(design_root: Path) -> None:
    (design_root / FILE).unlink(missing_ok=True)


def planted_in(design: Design, design_root: Path, step: str) -> str:
    """The name of the planted cause if it changes this step of a build, else empty."""
    cause = read_planted(design_root) if design.plants else ""
    return cause if any(plant.name == cause and plant.step == step for plant in design.plants) else ""


class PlantedWatch:
    """Follows the file for a running service. It reads the file only if it is another one than at the last look."""

    def __init__(self, design_root: Path) -> None:
        self._root, self._seen, self._cause = design_root, NO_FILE, ""

    def present(self) -> str:
        """The name of the planted cause, empty without one. A damaged file counts as none."""
        try:
            status = (self._root / FILE).stat()
            found = status.st_mtime_ns, status.st_ino  # an atomic write makes a new inode
        except FileNotFoundError:
            found = NO_FILE
        if found != self._seen:
            try:
                self._cause = read_planted(self._root)
            except CorruptArtifact:
                self._cause = ""
            self._seen = found
        return self._cause
