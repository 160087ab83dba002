"""The interfaces of a design for experiments: a player answers requests like the service, and a judge scores answers.

The player and the judge do not import each other. The judge may use the oracle; the player may not. The lab connects
both in one process, without HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from infra.evaluation.resample import CASE_ROUNDS, count_matrix, interval_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Play:
    """One answer in the design's own type, with its wall time and CPU time in milliseconds."""

    answer: Any
    wall_ms: float
    cpu_ms: float
    degraded: Sequence[str] = ()


class Player(Protocol):
    """Answers one case at a time. Opened by `design.player(release, config, settings)`."""

    def play(self, case: Any, knobs: Mapping[str, Any], without: Collection[str] = ()) -> Play:
        """Answer with the request-time knobs in `knobs`. `without` names the ports that are down (`infra.faults`)."""
        ...


class Judge(Protocol):
    """Scores answers. Opened by `design.judge(config)` with the preset's configuration, without changed knobs."""

    def cases(self, count: int) -> Sequence[Any]:
        """Return the same `count` cases on every call, or all cases if there are fewer."""
        ...

    def question(self, case: Any) -> dict[str, Any]:
        """Return the HTTP request body for one case, with exploration and other sources of noise switched off."""
        ...

    def in_shifted_world(self, size: float) -> Judge:
        """Return a judge of the same cases that values HTTP responses in the world after a shift of `size`
        (`lab world shift`)."""
        ...

    def captured_by(self, cases: Sequence[Any], answers: Sequence[Mapping[str, Any]]) -> Score:
        """Return the value of `answers` (HTTP response bodies) to `cases`."""
        ...

    def trial(self, cases: Sequence[Any], baseline: Sequence[Play]) -> Trial:
        """Return the references for answers to `cases`: the best value, the worst value and the `baseline` answers."""
        ...


class Trial(Protocol):
    """Cases with the reference values for scoring answers to them."""

    def scores(self, plays: Sequence[Play]) -> list[Score]:
        """Return the scores of these answers, absolute and relative to the baseline."""
        ...


@dataclass(frozen=True)
class Score:
    """One measure: the ratio of two sums over n cases, `above` and `below` float64[n]. `text` completes "how much".

    With a `target`, the value closest to it is best, such as 0 for a bias. Otherwise `more_is_better` decides.
    """

    id: str
    text: str
    unit: str
    above: Array
    below: Array
    more_is_better: bool = True
    target: float | None = None

    @property
    def value(self) -> float:
        """The ratio of the sums, or 0 if the denominator is 0."""
        below = float(self.below.sum())
        return float(self.above.sum()) / below if below else 0.0

    @property
    def merit(self) -> float:
        """The value in an order in which more is better."""
        if self.target is not None:
            return -abs(self.value - self.target)
        return self.value if self.more_is_better else -self.value

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """95% bootstrap interval over cases. Each draw uses the same cases for both sums."""
        return interval_of(self._resampled(seed))

    def change_from(self, other: Score, seed: int = 0) -> tuple[float, float, float]:
        """Return the relative change from `other` on the same cases, with its 95% interval (change, low, high).

        For a percentage, the change is the difference. Both scores use the same draws, so the variance that they share
        cancels.
        """
        mine, theirs = self._resampled(seed), other._resampled(seed)
        if self.unit == "%":
            return (self.value - other.value) / 100, *interval_of((mine - theirs) / 100)
        return self.value / other.value - 1.0, *interval_of(mine / theirs - 1.0)

    def difference_from(self, other: Score, seed: int = 0) -> tuple[float, float, float]:
        """Return the value less that of `other` on the same cases, with its 95% interval (difference, low, high)."""
        return self.value - other.value, *interval_of(self._resampled(seed) - other._resampled(seed))

    def _resampled(self, seed: int) -> Array:
        drawn = count_matrix(len(self.above), CASE_ROUNDS, seed)
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Array = (drawn @ self.above) / (drawn @ self.below)
        return values


def per_case(id: str, text: str, unit: str, values: npt.ArrayLike, target: float | None = None) -> Score:
    """Return the score that is the mean of `values` float[n] over cases."""
    above = np.asarray(values, np.float64)
    return Score(id, text, unit, above, np.ones(len(above)), target=target)


@dataclass(frozen=True)
class Sweep:
    """An experiment as data: the knobs to vary with their values, and the two measures `x` and `y` to compare.

    `question` is the question that the sweep answers. `fixed` holds the knobs that all points share. `needs_option`
    names the optional build step that the sweep requires. If the simulated world contains only one side of the
    trade-off, `one_sided` names the missing side and the reason; `lab sweep` prints it below the finding.
    """

    name: str
    question: str
    vary: Mapping[str, Sequence[float | str]]
    x: str = "p50_ms"
    y: str = "captured_value"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    requests: int = 300
    needs_option: str = ""
    one_sided: str = ""
