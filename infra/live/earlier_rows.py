"""Lets a step read only the files of the live log that an earlier build has not read.

Each output of such a step lists the files that it has read. A later build continues from the output with the most
files, if nothing but the cut of the log differs: the code, the configuration and the forced runs are the same. Files of
the log never change, so an output stays valid as long as the cut contains its files. The result must not depend on
whether there is an earlier output, because a step gives the same bytes for the same input.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds

from infra.build.fingerprints import fingerprints
from infra.build.runner import StepContext

FOLDER, FILES = "live", "files.json"
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogFiles:
    """The files of the cut in `live`. `earlier` is the folder of an earlier output, None if there is none to continue;
    it has read the files in `read`. Paths are relative to `live`."""

    live: Path
    names: tuple[str, ...]
    earlier: Path | None
    read: frozenset[str]

    def new(self, folder: str) -> list[str]:
        """The files of one folder of the log that are to be read, in order of their paths."""
        return [str(self.live / name) for name in self.names if name not in self.read and name.startswith(f"{folder}/")]

    def new_rows(self, folder: str) -> pa.Table | None:
        """All rows of these files; None without files. Raises Arrow's errors for a damaged file."""
        files = self.new(folder)
        return ds.dataset(files, format="parquet").to_table().combine_chunks() if files else None


def log_files(context: StepContext) -> LogFiles:
    """The files of this build's cut, and the output to continue from."""
    live = context.inputs["live"]
    names = tuple(sorted(path.relative_to(live).as_posix() for path in live.rglob("*.parquet")))
    found: dict[Path, frozenset[str]] = {}
    lineage = lineage_of(context)
    for listed in context.out.parent.glob(f"*/{FOLDER}/{FILES}") if lineage else ():
        stored = json.loads(listed.read_text())
        if stored["lineage"] == lineage and set(stored["files"]) <= set(names):
            found[listed.parent] = frozenset(stored["files"])
    earlier = max(found, key=lambda folder: (len(found[folder]), folder.stat().st_mtime), default=None)
    return LogFiles(live, names, earlier, found.get(earlier, frozenset()) if earlier else frozenset())


def write_files(files: LogFiles, context: StepContext) -> Path:
    """Create the folder for what a later build continues from, and list the files in it."""
    folder = context.out / FOLDER
    folder.mkdir()
    (folder / FILES).write_text(json.dumps({"lineage": lineage_of(context), "files": files.names}, indent=0))
    return folder


def lineage_of(context: StepContext) -> str:
    """The fingerprint of a step without the cuts of the log; empty for a step that runs outside of a build."""
    prints = fingerprints(context.design, context.settings, context.turned, with_cuts=False)
    return prints.get(context.out.parent.name, "")


def first_snapshot_after(times: Sequence[float], start_ts: float, every_s: Sequence[float]) -> float:
    """The first time of snapshots at `start_ts` + k × `every_s` that is after the earliest of `times`, infinite without
    one. A snapshot contains the events before it, so older snapshots are those of a build without these events."""
    if not times:
        return float("inf")
    return min(start_ts + (math.floor((min(times) - start_ts) / every) + 1) * every for every in every_s)


def place_of(ids: Ints, among: Ints) -> Ints:
    """int64[n]: the place of each id in `among`, whose ids are distinct, and -1 for an id that is not there."""
    if not len(among):
        return np.full(len(ids), -1, np.int64)
    order = np.argsort(among)
    place = np.minimum(np.searchsorted(among[order], ids), len(among) - 1)
    return np.where(among[order][place] == ids, order[place], -1).astype(np.int64)


def uniform_of(ids: Ints, seed: int) -> Array:
    """float64[n] in [0, 1): a number for each id, the same in each build (splitmix64). Draws by position in the log
    would change as the log grows."""
    mixed = ids.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
