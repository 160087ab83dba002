"""Selects pairs of columns with an interaction; their cells become crosses of the wide part.

For each pair, a chi-square test compares the clicks in each cell with the additive prediction, in log-odds, from the
rates of the two columns. The test uses training rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.model.inputs import cross

Ids = npt.NDArray[np.int32]
Pairs = tuple[tuple[int, int], ...]
BITS = 18
MOST, SURE = 10, 6.0
"""maximum number of crossed pairs, and the required significance in sd"""
ASKED, CELLS, ROWS_OF_CELL = 100_000, 200_000, 20
"""maximum number of rows for the test, maximum number of cells per pair, and minimum number of rows per cell"""


def pairs_of(ids: Ids, sizes: Sequence[int], clicked: npt.NDArray[np.float32]) -> Pairs:
    """The pairs of columns of `ids` int32[n, columns] with a significant interaction, best first."""
    first = np.cumsum([0, *sizes[:-1]])
    own = [ids[:ASKED, at].astype(np.int64) - first[at] for at in range(len(sizes))]
    clicks = clicked[:ASKED].astype(np.float64)
    everyone = _log_odds(clicks.sum(), float(len(clicks)), float(clicks.mean()))
    odds = [
        _log_odds(np.bincount(one, clicks, size), np.bincount(one, minlength=size), float(clicks.mean())) - everyone
        for one, size in zip(own, sizes, strict=True)
    ]
    scores = {}
    for a, b in combinations(range(len(sizes)), 2):
        if sizes[a] * sizes[b] <= CELLS:
            cell = own[a] * sizes[b] + own[b]
            count, found = np.bincount(cell), np.bincount(cell, clicks)
            filled = np.flatnonzero(count >= ROWS_OF_CELL)
            p = 1 / (1 + np.exp(-(everyone + odds[a][filled // sizes[b]] + odds[b][filled % sizes[b]])))
            squares = (found[filled] - count[filled] * p) ** 2 / (count[filled] * p * (1 - p))
            scores[a, b] = float((squares - 1).sum() / np.sqrt(2 * max(len(filled), 1)))
    best = sorted((pair for pair in scores if scores[pair] > SURE), key=lambda pair: -scores[pair])
    return tuple(best[:MOST])


def crossed(ids: Ids, pairs: Pairs) -> Ids:
    """int32[n, pairs]: rows of one hashed cross table."""
    wide = ids.astype(np.int64)
    found = [cross(BITS, np.array([number], np.int64), wide[:, a], wide[:, b]) for number, (a, b) in enumerate(pairs)]
    return np.stack(found, axis=1)


def _log_odds(clicks: Any, rows: Any, rate: float) -> Any:
    """Log-odds of each cell, smoothed towards the overall `rate` with ten pseudo-rows."""
    p = (clicks + 10 * rate) / (rows + 10)
    return np.log(p / (1 - p))
