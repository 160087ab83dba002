"""How experiments ask a design: a player answers as the service would, a judge knows what the answers are worth.

Neither knows the other. The player stands in the online wing, the judge in `offline.evaluate`, which alone may ask the
oracle; the lab brings them together, in one process and without HTTP.
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
    """One answer in the design's own words, and what it took: milliseconds on the clock, and of processor time."""

    answer: Any
    wall_ms: float
    cpu_ms: float
    degraded: Sequence[str] = ()


class Player(Protocol):
    """Answers one case at a time. Opened by `design.player(release, config, settings)`."""

    def play(self, case: Any, knobs: Mapping[str, Any], without: Collection[str] = ()) -> Play:
        """Answer with request-time knobs turned; `without` names ports that are down meanwhile (`infra.faults`)."""
        ...


class Judge(Protocol):
    """Opened by `design.judge(config)`, with the configuration that has no knob turned."""

    def cases(self, count: int) -> Sequence[Any]:
        """Whom or what to ask for: `count` cases, or as many as there are; always the same ones."""
        ...

    def question(self, case: Any) -> dict[str, Any]:
        """The body of a request over HTTP for one case, with everything off that would blur a comparison."""
        ...

    def captured_by(self, cases: Sequence[Any], answers: Sequence[Mapping[str, Any]]) -> Score:
        """What such answers are worth, as they came."""
        ...

    def trial(self, cases: Sequence[Any], baseline: Sequence[Play]) -> Trial:
        """What answers to these cases are held against: what is best, what is worst, and the `baseline` answers."""
        ...


class Trial(Protocol):
    """Cases with everything that answers to them are compared with."""

    def scores(self, plays: Sequence[Play]) -> list[Score]:
        """What these answers are worth, by themselves and against the baseline."""
        ...


@dataclass(frozen=True)
class Score:
    """One measure: the ratio of two sums over n cases, `above` and `below` float64[n]. `text` completes "how much"."""

    id: str
    text: str
    unit: str
    above: Array
    below: Array
    more_is_better: bool = True

    @property
    def value(self) -> float:
        """0 where there was nothing to divide by."""
        below = float(self.below.sum())
        return float(self.above.sum()) / below if below else 0.0

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """95% bootstrap interval, resampling cases. Both sums are taken over the same cases."""
        return interval_of(self._resampled(seed))

    def change_from(self, other: Score, seed: int = 0) -> tuple[float, float, float]:
        """By which share this is more than `other`, of the same cases, with the 95% interval of that share; for what is
        a percentage already, the difference. Both are resampled together, so that what is hard for both does not count
        as a difference."""
        mine, theirs = self._resampled(seed), other._resampled(seed)
        if self.unit == "%":
            return (self.value - other.value) / 100, *interval_of((mine - theirs) / 100)
        return self.value / other.value - 1.0, *interval_of(mine / theirs - 1.0)

    def _resampled(self, seed: int) -> Array:
        drawn = count_matrix(len(self.above), CASE_ROUNDS, seed)
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Array = (drawn @ self.above) / (drawn @ self.below)
        return values


def per_case(id: str, text: str, unit: str, values: npt.ArrayLike) -> Score:
    """The mean over cases."""
    above = np.asarray(values, np.float64)
    return Score(id, text, unit, above, np.ones(len(above)))


@dataclass(frozen=True)
class Sweep:
    """An experiment as data: which knobs to vary over which values, and which two measures to hold against each other.

    `question` is what it answers; `fixed` are knobs that every setting shares; `needs_option` names an optional step of
    the build without which there is nothing to see. `one_sided` is a sentence for a sweep whose world plants only one
    side of the trade-off: it names the side that is missing and why. `lab sweep` prints it below the finding.
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
