"""A measured number with its spread, its bounds and whether it keeps them. Tables are made from these rows only."""

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
    """What a design promises of a figure before it is measured."""

    id: str
    description: str
    unit: str
    must: str | None = None
    aim: str | None = None


@dataclass(frozen=True)
class Figure:
    """`low` and `high` are the spread over rounds, or the interval. `must` and `aim` read like "<= 180"."""

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
        """Whether the value keeps `must`; None where nothing is demanded."""
        return None if self.must is None else keeps(self.value, self.must)

    def row(self) -> dict[str, Any]:
        keys = ("id", "description", "value", "low", "high", "unit", "must", "aim", "met")
        return {key: _rounded(getattr(self, key)) for key in keys}


def of_rounds(bound: Bound, rounds: Sequence[float]) -> Figure:
    """The median of several rounds, with their smallest and largest value."""
    value, low, high = median(rounds), min(rounds), max(rounds)
    return Figure(bound.id, bound.description, value, low, high, bound.unit, bound.must, bound.aim)


def write_figures(directory: Path, figures: Sequence[Figure]) -> None:
    (directory / FILE).write_text(json.dumps([asdict(figure) for figure in figures], indent=2))


def read_figures(directory: Path) -> list[Figure]:
    """What a step has measured, without importing what measured it."""
    return [Figure(**row) for row in json.loads((directory / FILE).read_text())]


def keeps(value: float, bound: str) -> bool:
    """`keeps(3.0, "<= 4")` is True. Raises `ValueError` for a bound that is not `<= n` or `>= n`."""
    sign, _, limit = bound.partition(" ")
    if sign == "<=":
        return value <= float(limit)
    if sign == ">=":
        return value >= float(limit)
    raise ValueError(f"a bound reads '<= n' or '>= n', not {bound!r}")


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
