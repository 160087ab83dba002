"""A batch of candidates as columns. Stages pass it on; none changes it in place.

One Python object per candidate would cost more than the ranking itself at a thousand candidates, so the unit
of work is the batch: an array of ids, a bit mask of the sources that found each, and named float columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.uint32]
Keep = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """`ids` int64[n]; `sources` uint32[n], bit i set where source i found it; `columns` name -> floats [n, …]."""

    ids: Ids
    sources: Mask
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.ids)
        if len(self.sources) != count:
            raise ValueError(f"there are {len(self.sources)} sources for {count} candidates")
        for name, values in self.columns.items():
            if len(values) != count:
                raise ValueError(f"column {name} has {len(values)} values for {count} candidates")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls) -> Candidates:
        return cls(np.empty(0, np.int64), np.empty(0, np.uint32))

    def take(self, index: npt.NDArray[np.intp] | Keep) -> Candidates:
        """The candidates at `index` (positions, or a boolean mask), in that order."""
        columns = {name: values[index] for name, values in self.columns.items()}
        return Candidates(self.ids[index], self.sources[index], columns)

    def with_columns(self, **columns: Floats) -> Candidates:
        """The same candidates in the same order, with columns added or replaced."""
        return Candidates(self.ids, self.sources, {**self.columns, **columns})


def merge(found: Sequence[Ids]) -> Candidates:
    """Union of what the sources found, without doubles: `found[i]` are the ids of source i.

    Keeps the order of first appearance, so that the result does not depend on the values of the ids.
    """
    if not any(len(ids) for ids in found):
        return Candidates.empty()
    unique, first, inverse = np.unique(np.concatenate(found), return_index=True, return_inverse=True)
    sources = np.zeros(len(unique), np.uint32)
    start = 0
    for bit, ids in enumerate(found):
        sources[inverse[start : start + len(ids)]] |= np.uint32(1 << bit)
        start += len(ids)
    order = np.argsort(first, kind="stable")
    return Candidates(unique[order].astype(np.int64, copy=False), sources[order])
