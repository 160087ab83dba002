"""All ads and campaigns as arrays. Offline code writes the snapshot; serving reads it. Ids are row numbers.

Reading every candidate from the feature store would exceed the latency budget, so serving gathers ads from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import Array, Ints
from ctr_prediction.items.live_counts import LiveStats
from infra.errors import CorruptArtifact
from infra.registry.manifest import verify, write_manifest

INDEX_AGAIN = "run: lab build ctr_prediction --from index"
STATS = "stats.npz"


@dataclass(frozen=True)
class Snapshot:
    """`campaign`, `creative` int64[ads] and `start_ts` float64[ads]; `bid` and `budget` float64[campaigns], money per
    click and per day; `targets` bool[campaigns, segments]; `user_segment` int64[users], the fallback when the feature
    store is unavailable; `hourly` float64[24], share of a day's traffic. `stats` are the counts at the end of the
    log."""

    campaign: Ints
    creative: Ints
    start_ts: Array
    bid: Array
    budget: Array
    targets: npt.NDArray[np.bool_]
    user_segment: Ints
    hourly: Array
    stats: LiveStats
    meta: Mapping[str, Any]


ARRAYS = tuple(item.name for item in fields(Snapshot) if item.name not in ("stats", "meta"))


def write_snapshot(path: Path, arrays: Mapping[str, npt.NDArray[Any]], stats: LiveStats, meta: dict[str, Any]) -> None:
    """Write `ARRAYS`, the counts and the manifest into the empty directory `path`."""
    for name in ARRAYS:
        np.save(path / f"{name}.npy", arrays[name])
    stats.write(path / STATS)
    write_manifest(path, meta)


def open_snapshot(path: Path, *, model_digest: str) -> Snapshot:
    """Verify and read the snapshot. Raises `CorruptArtifact`, also if it was built for another model."""
    meta = verify(path, hint=INDEX_AGAIN).meta
    if meta.get("model_digest") != model_digest:
        raise CorruptArtifact(f"the snapshot in {path} was built for another model", hint=INDEX_AGAIN)
    arrays = {name: np.load(path / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
    return Snapshot(**arrays, stats=LiveStats.read(path / STATS), meta=meta)
