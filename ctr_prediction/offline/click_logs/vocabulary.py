"""Which values of a column have a place of their own in its table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST = 4
"""times that a value must be met in the training part to have an id of its own"""
MISSING, RARE, FIRST = 0, 1, 2
"""ids: of a blank, of rare and unseen values, and the first that a value has for itself"""


@dataclass(frozen=True)
class Vocabulary:
    """`codes` int64, ascending: the values with an id of their own, `FIRST` + place. A code below 0 is a blank."""

    codes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, codes: npt.NDArray[np.int64], least: int = LEAST) -> Vocabulary:
        found, count = np.unique(codes[codes >= 0], return_counts=True)
        return cls(found[count >= least])

    def __len__(self) -> int:
        """Ids there are."""
        return len(self.codes) + FIRST

    def ids(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """int32[n]"""
        known = np.append(self.codes, np.iinfo(np.int64).max)
        place = np.searchsorted(self.codes, codes)
        own = known[place] == codes
        return np.where(own, place + FIRST, np.where(codes < 0, MISSING, RARE)).astype(np.int32)
