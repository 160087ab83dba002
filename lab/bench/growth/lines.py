"""How a cost grows between two sizes: the exponent k of cost = a × size^k."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.bench.growth.sizes import Size

LEAST_S, LEAST_MB, LEAST_MS = 0.3, 300.0, 0.02
"""A cost below these at the larger size is mostly a fixed part and noise, and has no exponent."""
EXPLAINED = 1.1
"""A larger exponent is explained on `designs/scaling.md`."""


@dataclass(frozen=True)
class Line:
    """One cost at all sizes. `against` names the number it is compared with. The exponent is that between the last two
    sizes, because fixed costs hide the growth of a small world. It is None for a cost that is too small."""

    what: str
    unit: str
    against: str
    values: tuple[float, ...]
    exponent: float | None


def lines_of(sizes: Sequence[Size]) -> list[Line]:
    """Time and memory of each step against the rows of the history, and the time of each stage against what a request
    searches."""
    return [
        *_lines(sizes, {name: [one.steps[name].seconds for one in sizes] for name in _steps(sizes)}, "s", "rows"),
        *_lines(sizes, {name: [one.steps[name].peak_mb for one in sizes] for name in _steps(sizes)}, "MB", "rows"),
        *_lines(sizes, {name: [one.stages[name] for one in sizes] for name in _stages(sizes)}, "ms", "items"),
    ]


def exponent(sizes: tuple[float, float], costs: tuple[float, float]) -> float:
    return math.log(costs[1] / costs[0]) / math.log(sizes[1] / sizes[0])


def _lines(sizes: Sequence[Size], costs: Mapping[str, Sequence[float]], unit: str, against: str) -> Iterator[Line]:
    least = {"s": LEAST_S, "MB": LEAST_MB, "ms": LEAST_MS}[unit]
    numbers = [float(getattr(one, against)) for one in sizes]
    for what, values in costs.items():
        small, large = values[-2], values[-1]
        known = large >= least and small > 0 and numbers[-1] > numbers[-2]
        found = exponent((numbers[-2], numbers[-1]), (small, large)) if known else None
        yield Line(what, unit, against, tuple(values), found)


def _steps(sizes: Sequence[Size]) -> list[str]:
    return [name for name in sizes[-1].steps if all(name in one.steps for one in sizes)]


def _stages(sizes: Sequence[Size]) -> list[str]:
    return [name for name in sizes[-1].stages if all(name in one.stages for one in sizes)]
