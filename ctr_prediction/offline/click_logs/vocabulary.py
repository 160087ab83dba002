"""The vocabulary of a column: the values with a row of their own in the table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST = 4
"""minimum number of occurrences in the training rows for an id of its own"""
MISSING, RARE, FIRST = 0, 1, 2
"""ids of a blank, of rare and unseen values, and the first id of a vocabulary value"""


@dataclass(frozen=True)
class Vocabulary:
    """`codes` int64, ascending: the values with an id of their own, `FIRST` + index. A negative code is a blank."""

    codes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, codes: npt.NDArray[np.int64], least: int = LEAST) -> Vocabulary:
        found, count = np.unique(codes[codes >= 0], return_counts=True)
        return cls(found[count >= least])

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.codes) + FIRST

    def ids(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """int32[n]: the id of each of `codes`."""
        known = np.append(self.codes, np.iinfo(np.int64).max)
        place = np.searchsorted(self.codes, codes)
        own = known[place] == codes
        return np.where(own, place + FIRST, np.where(codes < 0, MISSING, RARE)).astype(np.int32)
