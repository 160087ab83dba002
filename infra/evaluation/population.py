"""What `lab live` needs of a design: its simulated people, who ask over HTTP and react by the planted truth.

They know the truth and the service does not, so nothing of a design imports them; `lab` resolves them by name. They do
no I/O themselves: `lab.people.living` carries what they ask, get and tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Sums = Mapping[str, tuple[float, float]]
"""per measure, what stands above and below the line of its ratio"""
Events = Mapping[str, Sequence[Mapping[str, Any]]]
"""the body of one request to the events path: kind -> events"""


@dataclass(frozen=True)
class Measure:
    """A figure of what happens online: a ratio of two sums over visits. `text` says what it is."""

    id: str
    text: str
    unit: str = ""


class Visit(Protocol):
    """One person's visit. All its random choices come from a stream of its own, so that the same answers have the same
    effects, however visits overlap."""

    def question(self) -> Mapping[str, Any] | None:
        """The body of the next request; None when the visit is over."""
        ...

    def react(self, answer: Mapping[str, Any]) -> Events:
        """What the person does with the answer; without events where there was nothing to see."""
        ...

    @property
    def observed(self) -> Sums:
        """What this visit has added to each measure so far."""
        ...

    @property
    def expected(self) -> Sums:
        """What the oracle expects of the same answers."""
        ...


class Population(Protocol):
    """Opened by `design.people(config, seed)`."""

    measures: Sequence[Measure]
    events_path: str
    publish_path: str
    publish_field: str
    """the field of a request to `publish_path` that holds what is published"""
    until_ts: float
    """world time up to which there is something to publish"""

    def gaps_s(self, rate_per_s: float) -> Iterator[float]:
        """Seconds between one visit's begin and the next one's, such that about `rate_per_s` requests come in all."""
        ...

    def visit(self, number: int) -> Visit:
        """The visit of that number, from 0: always the same person with the same moods."""
        ...

    def publications(self, from_ts: float, to_ts: float) -> Sequence[Mapping[str, Any]]:
        """What is published from `from_ts` on and before `to_ts`, in world time."""
        ...
