"""The present shift of a design's world, in a small file that `lab world shift` writes and `lab live` follows.

Only the simulated people live in the shifted world. No service, build or monitor reads this file, because a system in
production has to notice a change by its own data.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import CorruptArtifact
from infra.files import write_atomically

FILE = "world_shift.json"


@dataclass(frozen=True)
class WorldShift:
    """A shift of `size` (`Design.shift`) since `at`, the wall clock's time (UTC, ISO). `world_ts` is the world's time
    in seconds since the epoch, None if no process of the world ran."""

    size: float
    at: str
    world_ts: float | None = None


def read_shift(design_root: Path) -> WorldShift | None:
    """The present shift, None without one. Raises `CorruptArtifact` if the file is damaged."""
    path = design_root / FILE
    try:
        found = WorldShift(**json.loads(path.read_text()))
        if not math.isfinite(found.size):
            raise ValueError(f"the size is {found.size}")
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as exc:
        raise CorruptArtifact(
            f"{path} is damaged: {exc}", hint=f"run: lab world shift {design_root.name} --clear"
        ) from exc
    return found


def write_shift(design_root: Path, shift: WorldShift) -> None:
    write_atomically(design_root / FILE, json.dumps(asdict(shift)))


def clear_shift(design_root: Path) -> bool:
    """Remove the file; returns whether there was one."""
    try:
        (design_root / FILE).unlink()
    except FileNotFoundError:
        return False
    return True


class ShiftWatch:
    """Follows the file of one design. It reads the file only if the file is another one than at the last look."""

    def __init__(self, design_root: Path) -> None:
        self._root, self._seen, self._size = design_root, "", 0.0

    def change(self) -> float | None:
        """The size of the present shift, 0 for none, if it differs from the last one returned (at first 0); else None.

        Raises `CorruptArtifact` if the file is damaged, once per damaged file.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        present = read_shift(self._root)
        size = present.size if present else 0.0
        if size == self._size:
            return None
        self._size = size
        return size

    def _stamp(self) -> str:
        """What tells two files apart: an atomic write makes a new inode."""
        try:
            status = (self._root / FILE).stat()
        except FileNotFoundError:
            return ""
        return f"{status.st_mtime_ns} {status.st_ino}"
