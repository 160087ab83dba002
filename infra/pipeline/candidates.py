"""A columnar batch of candidates. A stage returns a new batch and never changes one in place.

The unit of work is the batch: an array of ids, a bit mask of candidate sources per id, and named float columns. One
Python object per candidate would cost more than the ranking itself at 1,000 candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.uint32]
Keep = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """`ids` int64[n]; `sources` uint32[n] with bit i set if source i found the id; `columns` name -> float[n, …]."""

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
        """Return the candidates at `index` (positions or a boolean mask), in the order of `index`."""
        columns = {name: values[index] for name, values in self.columns.items()}
        return Candidates(self.ids[index], self.sources[index], columns)

    def with_columns(self, **columns: Floats) -> Candidates:
        """Return the same candidates in the same order, with columns added or replaced."""
        return Candidates(self.ids, self.sources, {**self.columns, **columns})


def merge(found: Sequence[Ids]) -> Candidates:
    """Return the union of the sources' candidates without duplicates. `found[i]` int64[n_i] holds the ids of source i.

    The result keeps the order of first appearance, so the order does not depend on the id values. Hashing needs a fifth
    of the time that sorting needs.
    """
    if not any(len(ids) for ids in found):
        return Candidates.empty()
    place, unique = pd.factorize(np.concatenate(found))
    sources = np.zeros(len(unique), np.uint32)
    start = 0
    for bit, ids in enumerate(found):
        sources[place[start : start + len(ids)]] |= np.uint32(1 << bit)
        start += len(ids)
    return Candidates(unique.astype(np.int64, copy=False), sources)
