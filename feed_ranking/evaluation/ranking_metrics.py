"""Metrics of the order of a slate. Metrics of single clicks are in `infra.training.click_metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def mean_ndcg(groups: npt.NDArray[np.int64], score: npt.NDArray[np.floating[Any]], gain: Array) -> float:
    """Normalised discounted cumulative gain of each group ordered by `score`, averaged over groups (Järvelin and
    Kekäläinen, 2002). `gain` float64[n] is not negative. A group that a resample contains twice counts as one."""

    def discounted(order: npt.NDArray[np.intp]) -> Array:
        grouped = groups[order]
        start = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
        rank = np.arange(len(order)) - np.repeat(start, np.diff(np.r_[start, len(order)]))
        sums: Array = np.add.reduceat(gain[order] / np.log2(rank + 2.0), start)
        return sums

    return float((discounted(np.lexsort((-score, groups))) / discounted(np.lexsort((-gain, groups)))).mean())
