"""One window of the live log as sums and histograms, small enough to keep hundreds as JSON.

Sums of squares over groups give the noise of each ratio: rows of one request are correlated, so a request counts as one
observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from infra.telemetry.drift.observed import Array, DriftSource, Ints, Observed, Units

ALL = "all"
"""name of the segment of all units"""
BLOCK = 5
"""groups whose mean loss is one value of the stream of errors"""


@dataclass(frozen=True)
class Sums:
    """Sums over groups g of `above` a_g and `below` b_g, whose ratio is the figure, and of their products."""

    above: float = 0.0
    below: float = 0.0
    aa: float = 0.0
    ab: float = 0.0
    bb: float = 0.0
    groups: int = 0

    @classmethod
    def of(cls, above: Array, below: Array, group: Ints) -> Sums:
        if not len(group):
            return cls()
        names, place = np.unique(group, return_inverse=True)
        a, b = (np.bincount(place, values, len(names)) for values in (above, below))
        total_a, total_b, aa, ab, bb = (float(values.sum()) for values in (a, b, a * a, a * b, b * b))
        return cls(total_a, total_b, aa, ab, bb, len(names))

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    @property
    def ratio(self) -> float:
        """NaN without a denominator."""
        return self.above / self.below if self.below else float("nan")

    @property
    def error(self) -> float:
        """Standard error of `ratio`, by the delta method."""
        if not self.below:
            return float("inf")
        return float(np.sqrt(max(self.aa - 2 * self.ratio * self.ab + self.ratio**2 * self.bb, 0.0)) / abs(self.below))


@dataclass(frozen=True)
class Window:
    """`calibration`: segment -> actual / expected; `loss`: segment -> loss / units. `counts`: input -> histogram.

    Times are in world time, `ended_at` in seconds of the wall clock. `errors` are the mean losses of successive blocks
    of `BLOCK` groups. `mature` counts units that matured in the window, `labelled` those with a label by then, and
    `unmatched` labels whose prediction is not known.
    """

    number: int
    version: str
    from_ts: float
    to_ts: float
    ended_at: float
    predictions: int
    unknown: int
    age_s: float | None
    counts: dict[str, list[int]]
    calibration: dict[str, Sums]
    loss: dict[str, Sums]
    errors: list[float]
    mature: int
    labelled: int
    unmatched: int


def window_of(
    source: DriftSource, observed: Observed, mature: Units, number: int, ended_at: float, unmatched: int
) -> Window:
    """The window with these predictions, and the units that matured in it. One of the two may be empty."""
    times = observed.request_ts if len(observed.request_ts) else mature.mature_ts
    judged = source.judged(mature)
    expected, loss = source.expected(judged.predicted), source.loss(judged.predicted, judged.actual)
    ages = observed.age_s[np.isfinite(observed.age_s)]
    calibration, losses = {}, {}
    for name, rows in _segments(source, judged):
        group = judged.group[rows]
        calibration[name] = Sums.of(judged.actual[rows], expected[rows], group)
        losses[name] = Sums.of(loss[rows], np.ones(len(group)), group)
    return Window(
        number=number,
        version=source.version,
        from_ts=float(times.min()),
        to_ts=float(times.max()),
        ended_at=ended_at,
        predictions=len(observed.request_ts),
        unknown=int(observed.is_unknown.sum()),
        age_s=float(np.median(ages)) if len(ages) else None,
        counts={name: counts.tolist() for name, counts in source.bins.counts(observed.inputs).items()},
        calibration=calibration,
        loss=losses,
        errors=_block_means(loss, judged.group, judged.mature_ts),
        mature=len(mature),
        labelled=int(np.isfinite(mature.actual).sum()),
        unmatched=unmatched,
    )


def _segments(source: DriftSource, units: Units) -> list[tuple[str, Ints]]:
    found = [(ALL, np.arange(len(units)))]
    return found + [
        (name, np.flatnonzero((units.segment == place).any(axis=1))) for place, name in enumerate(source.segments)
    ]


def _block_means(loss: Array, group: Ints, at_ts: Array) -> list[float]:
    """Mean losses of blocks of `BLOCK` groups, in the order in which the groups matured."""
    if not len(group):
        return []
    names, place = np.unique(group, return_inverse=True)
    first = np.full(len(names), np.inf)
    np.minimum.at(first, place, at_ts)
    order = np.argsort(first, kind="stable")
    total, count = (np.bincount(place, values, len(names))[order] for values in (loss, np.ones(len(loss))))
    blocks = np.arange(len(names)) // BLOCK
    kept = len(names) // BLOCK
    sums, counts = (np.bincount(blocks, values)[:kept] for values in (total, count))
    return [float(value) for value in sums / counts]


def together(windows: Sequence[Window]) -> tuple[dict[str, list[int]], dict[str, Sums], dict[str, Sums]]:
    """(counts, calibration, loss) of several windows as one."""
    counts: dict[str, list[int]] = {}
    calibration: dict[str, Sums] = {}
    loss: dict[str, Sums] = {}
    for window in windows:
        for name, found in window.counts.items():
            counts[name] = [a + b for a, b in zip(counts.get(name, [0] * len(found)), found, strict=True)]
        for into, sums in ((calibration, window.calibration), (loss, window.loss)):
            for name, one in sums.items():
                into[name] = into.get(name, Sums()) + one
    return counts, calibration, loss
