"""A measured figure with its spread, its bounds and the verdict. All tables are rendered from these rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

FILE = "figures.json"


@dataclass(frozen=True)
class Bound:
    """The bounds that a design declares for a figure before the measurement."""

    id: str
    description: str
    unit: str
    must: str | None = None
    aim: str | None = None


@dataclass(frozen=True)
class Figure:
    """One measured figure. `low` and `high` are the range over rounds, or the interval. `must` and `aim` are bounds
    such as "<= 180"."""

    id: str
    description: str
    value: float
    low: float
    high: float
    unit: str
    must: str | None = None
    aim: str | None = None

    @property
    def met(self) -> bool | None:
        """True if the value satisfies `must`; None if there is no `must`."""
        return None if self.must is None else keeps(self.value, self.must)

    def row(self) -> dict[str, Any]:
        keys = ("id", "description", "value", "low", "high", "unit", "must", "aim", "met")
        return {key: _rounded(getattr(self, key)) for key in keys}


def of_rounds(bound: Bound, rounds: Sequence[float]) -> Figure:
    """Return the median of several rounds as a figure, with their minimum and maximum."""
    value, low, high = median(rounds), min(rounds), max(rounds)
    return Figure(bound.id, bound.description, value, low, high, bound.unit, bound.must, bound.aim)


def write_figures(directory: Path, figures: Sequence[Figure]) -> None:
    (directory / FILE).write_text(json.dumps([asdict(figure) for figure in figures], indent=2))


def read_figures(directory: Path) -> list[Figure]:
    """Read the figures of a step from its output `directory`, without importing the step."""
    return [Figure(**row) for row in json.loads((directory / FILE).read_text())]


def keeps(value: float, bound: str) -> bool:
    """True if `value` satisfies `bound`: `keeps(3.0, "<= 4")`. Raises `ValueError` unless `bound` is `<= n` or
    `>= n`."""
    sign, _, limit = bound.partition(" ")
    if sign == "<=":
        return value <= float(limit)
    if sign == ">=":
        return value >= float(limit)
    raise ValueError(f"a bound reads '<= n' or '>= n', not {bound!r}")


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
