"""Histograms of model inputs on fixed bins, and the population stability index (PSI) of two of them.

The gate of a build computes the bins from its sample and writes them beside its figures, so each release has its own.
PSI = Σ (a − e) · ln(a / e) over the bins, with shares `a` and `e` (Siddiqi, Credit Risk Scorecards, 2006). Rules of
thumb: below 0.1 nothing moved, above 0.25 much did. Two samples of n and m independent rows with k bins from the same
distribution have a PSI of about (k − 1)(1/n + 1/m).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.errors import CorruptArtifact
from infra.files import write_atomically

FILE = "bins.json"
BINS = 10
SCORE = "score"
"""name of the column with the model's output"""
Columns = Mapping[str, npt.NDArray[Any]]
"""input -> its values [n]"""


@dataclass(frozen=True)
class Bins:
    """`edges`: input -> the ascending inner edges of its bins. `shares`: input -> the share of the training sample in
    each bin. Bin i holds edges[i-1] < value <= edges[i]; a last bin holds missing values (NaN)."""

    edges: Mapping[str, list[float]]
    shares: Mapping[str, list[float]]

    @classmethod
    def of(cls, columns: Columns, count: int = BINS) -> Bins:
        """Bins with equal numbers of rows. An input with few different values has one bin per value."""
        edges = {name: _edges(np.asarray(values, np.float64), count) for name, values in columns.items()}
        bins = cls(edges, {})
        counts = bins.counts(columns)
        return cls(edges, {name: (found / max(found.sum(), 1)).tolist() for name, found in counts.items()})

    def counts(self, columns: Columns) -> dict[str, npt.NDArray[np.int64]]:
        """Input -> int64[bins]: the number of rows in each bin, for the inputs that have bins."""
        return {name: _counts(self.edges[name], values) for name, values in columns.items() if name in self.edges}

    def write(self, directory: Path) -> None:
        write_atomically(directory / FILE, json.dumps(asdict(self)))

    @classmethod
    def read(cls, directory: Path) -> Bins:
        """Raises `CorruptArtifact` if the file is damaged or missing."""
        try:
            return cls(**json.loads((directory / FILE).read_text()))
        except (OSError, ValueError, TypeError) as exc:
            raise CorruptArtifact(f"{directory / FILE} cannot be read: {exc}", hint="run: lab build DESIGN") from exc


def psi(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """PSI of two histograms of counts on the same bins. Half a row is added to each bin, so that an empty bin gives a
    finite value."""
    e, a = np.asarray(expected, np.float64) + 0.5, np.asarray(actual, np.float64) + 0.5
    e, a = e / e.sum(), a / a.sum()
    return float(((a - e) * np.log(a / e)).sum())


def _edges(values: npt.NDArray[np.float64], count: int) -> list[float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return []
    distinct = np.unique(finite)
    if len(distinct) <= count:
        found = (distinct[1:] + distinct[:-1]) / 2
    else:
        found = np.unique(np.quantile(finite, np.arange(1, count) / count))
        found = found[found < distinct[-1]]  # no row is above the largest value
    return [float(edge) for edge in found]


def _counts(edges: list[float], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    values = np.asarray(values, np.float64)
    is_missing = np.isnan(values)
    place = np.searchsorted(np.asarray(edges), values[~is_missing])
    found = np.bincount(place, minlength=len(edges) + 2).astype(np.int64)
    found[-1] = np.count_nonzero(is_missing)
    return found
