"""Expressions over metrics, with two evaluations: as PromQL by Prometheus, and over `Samples` by the embedded monitor.

Both settings therefore alert by the same rules. The subset is small: increases of counters, latest values of gauges,
arithmetic, comparisons that filter as in PromQL, and `and`. Vectors match on equal labels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from infra.telemetry.alerts.samples import Labels, Samples, Selection

Vector = dict[Labels, float]
SCRAPE_S = 5.0
"""Time between two scrapes in both settings."""
LEAST_SCRAPES = 3
"""Scrapes in the shortest window: an increase needs two samples, and a scrape may be late."""
OPERATORS: Mapping[str, tuple[int, Callable[[float, float], float | bool]]] = {
    "/": (3, lambda a, b: a / b if b else math.nan),
    "-": (2, lambda a, b: a - b),
    ">": (1, lambda a, b: a > b),
    "<": (1, lambda a, b: a < b),
    ">=": (1, lambda a, b: a >= b),
    "==": (1, lambda a, b: a == b),
}
"""Operator -> its precedence and its meaning. A comparison keeps the left value of each pair for which it holds."""
COMBINE: Mapping[str, Callable[[Sequence[float]], float]] = {"max": max, "min": min, "sum": sum}


@dataclass(frozen=True)
class Clock:
    """A clock that runs `factor` times as fast: it divides the windows and waiting times of rules.

    `scrape_s` is the time between two scrapes, which limits how short a window can be.
    """

    factor: float = 1.0
    scrape_s: float = SCRAPE_S

    def window_s(self, seconds: float) -> float:
        return max(LEAST_SCRAPES * self.scrape_s, seconds / self.factor)

    def wait_s(self, seconds: float) -> float:
        return seconds / self.factor


class Expression(ABC):
    """A value per label set. `text` renders PromQL; `value` computes the same from samples."""

    precedence = 9

    @abstractmethod
    def text(self, clock: Clock) -> str: ...

    @abstractmethod
    def value(self, samples: Samples, clock: Clock) -> Vector: ...

    @abstractmethod
    def selections(self) -> Iterator[Selection]:
        """The series that the expression reads."""

    def __truediv__(self, other: Expression) -> Expression:
        return Binary("/", self, other)

    def __sub__(self, other: Expression | float) -> Expression:
        return Binary("-", self, as_expression(other))

    def above(self, limit: float) -> Expression:
        return Binary(">", self, Number(limit))

    def below(self, limit: float) -> Expression:
        return Binary("<", self, Number(limit))

    def at_least(self, limit: float) -> Expression:
        return Binary(">=", self, Number(limit))

    def equals(self, number: float) -> Expression:
        return Binary("==", self, Number(number))

    def when(self, other: Expression) -> Expression:
        """Keep the values whose labels `other` also has."""
        return And(self, other)


@dataclass(frozen=True)
class Number(Expression):
    number: float

    def text(self, clock: Clock) -> str:
        return f"{self.number:.10g}"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        return {frozenset(): self.number}

    def selections(self) -> Iterator[Selection]:
        return iter(())


@dataclass(frozen=True)
class Time(Expression):
    """The current time in seconds since the epoch."""

    def text(self, clock: Clock) -> str:
        return "time()"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        return {frozenset(): samples.now}

    def selections(self) -> Iterator[Selection]:
        return iter(())


@dataclass(frozen=True)
class Increase(Expression):
    """Sum of the increases of counters over a window, by labels."""

    of: Selection
    window_s: float
    by: tuple[str, ...] = ("design",)

    def text(self, clock: Clock) -> str:
        window = duration(clock.window_s(self.window_s))
        return f"sum{_by(self.by)}(increase({self.of.text()}[{window}]))"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        return _grouped(self.by, samples.increases(self.of, clock.window_s(self.window_s)), sum)

    def selections(self) -> Iterator[Selection]:
        yield self.of


@dataclass(frozen=True)
class Latest(Expression):
    """Latest values of gauges, aggregated by labels. Without `by`, the series with all their labels."""

    of: Selection
    by: tuple[str, ...] | None = ("design",)
    how: Literal["max", "min", "sum"] = "max"

    def text(self, clock: Clock) -> str:
        return self.of.text() if self.by is None else f"{self.how}{_by(self.by)}({self.of.text()})"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        found = samples.latest(self.of)
        return dict(found) if self.by is None else _grouped(self.by, found, COMBINE[self.how])

    def selections(self) -> Iterator[Selection]:
        yield self.of


@dataclass(frozen=True)
class Recorded(Expression):
    """The expression that a recording rule stores under `name`, for one design."""

    name: str
    inner: Expression
    design: str

    def text(self, clock: Clock) -> str:
        return f'{self.name}{{design="{self.design}"}}'

    def value(self, samples: Samples, clock: Clock) -> Vector:
        wanted = ("design", self.design)
        return {labels: value for labels, value in self.inner.value(samples, clock).items() if wanted in labels}

    def selections(self) -> Iterator[Selection]:
        return self.inner.selections()


@dataclass(frozen=True)
class Absolute(Expression):
    inner: Expression

    def text(self, clock: Clock) -> str:
        return f"abs({self.inner.text(clock)})"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        return {labels: abs(value) for labels, value in self.inner.value(samples, clock).items()}

    def selections(self) -> Iterator[Selection]:
        return self.inner.selections()


@dataclass(frozen=True)
class Binary(Expression):
    operator: str
    left: Expression
    right: Expression

    @property
    def precedence(self) -> int:  # type: ignore[override]
        return OPERATORS[self.operator][0]

    def text(self, clock: Clock) -> str:
        left = _inside(self.left, clock, self.precedence)
        return f"{left} {self.operator} {_inside(self.right, clock, self.precedence + 1)}"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        function = OPERATORS[self.operator][1]
        found: Vector = {}
        for labels, left, right in self._pairs(self.left.value(samples, clock), self.right.value(samples, clock)):
            result = function(left, right)
            if isinstance(result, bool):
                if result:
                    found[labels] = left
            else:
                found[labels] = result
        return found

    def _pairs(self, left: Vector, right: Vector) -> Iterator[tuple[Labels, float, float]]:
        """Yield the pairs with equal labels; a scalar has none and meets every value of the other side."""
        if isinstance(self.right, Number | Time):
            yield from ((labels, value, right[frozenset()]) for labels, value in left.items())
        elif isinstance(self.left, Number | Time):
            yield from ((labels, left[frozenset()], value) for labels, value in right.items())
        else:
            yield from ((labels, value, right[labels]) for labels, value in left.items() if labels in right)

    def selections(self) -> Iterator[Selection]:
        yield from self.left.selections()
        yield from self.right.selections()


@dataclass(frozen=True)
class And(Expression):
    left: Expression
    right: Expression
    precedence = 0

    def text(self, clock: Clock) -> str:
        return f"{self.left.text(clock)} and {self.right.text(clock)}"

    def value(self, samples: Samples, clock: Clock) -> Vector:
        also = self.right.value(samples, clock)
        return {labels: value for labels, value in self.left.value(samples, clock).items() if labels in also}

    def selections(self) -> Iterator[Selection]:
        yield from self.left.selections()
        yield from self.right.selections()


def as_expression(value: Expression | float) -> Expression:
    return value if isinstance(value, Expression) else Number(value)


def duration(seconds: float) -> str:
    """A duration as Prometheus writes it, such as `5m`; whole seconds, at least one."""
    whole = max(1, round(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _by(names: tuple[str, ...]) -> str:
    return f" by ({', '.join(names)}) " if names else ""


def _inside(part: Expression, clock: Clock, least: int) -> str:
    text = part.text(clock)
    return text if part.precedence >= least else f"({text})"


def _grouped(
    by: tuple[str, ...], found: Iterator[tuple[Labels, float]], combine: Callable[[Sequence[float]], float]
) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in found:
        groups.setdefault(frozenset(item for item in labels if item[0] in by), []).append(value)
    return {labels: combine(values) for labels, values in groups.items()}
