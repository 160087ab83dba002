"""The interface between `lab live` and a design's simulated users.

Simulated users react according to the simulation's true parameters, which the service must not read. No module of a
design therefore imports them; `lab` resolves them by dotted name. They do no I/O: `lab.people.living` sends their
requests and events over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Sums = Mapping[str, tuple[float, float]]
"""measure id -> (numerator, denominator)"""
Events = Mapping[str, Sequence[Mapping[str, Any]]]
"""the body of one request to the events path: kind -> events"""


@dataclass(frozen=True)
class Measure:
    """An online metric: the ratio of two sums over visits. `text` is its description."""

    id: str
    text: str
    unit: str = ""


class Visit(Protocol):
    """The visit of one simulated user. Each visit has its own random stream, so that the same responses cause the same
    reactions regardless of concurrent visits."""

    def question(self) -> Mapping[str, Any] | None:
        """Return the body of the next request, or None at the end of the visit."""
        ...

    def react(self, answer: Mapping[str, Any]) -> Events:
        """Return the user's events in reaction to a response; no events for an empty response."""
        ...

    @property
    def observed(self) -> Sums:
        """The sums of this visit so far, per measure."""
        ...

    @property
    def expected(self) -> Sums:
        """The sums that the oracle expects for the same responses."""
        ...


class Population(Protocol):
    """The simulated users of a design. Opened by `design.people(config, seed)`."""

    measures: Sequence[Measure]
    events_path: str
    publish_path: str
    publish_field: str
    """the field of the request body for `publish_path` that holds the published items"""
    until_ts: float
    """world time of the last publication, in seconds since the epoch"""

    def gaps_s(self, rate_per_s: float) -> Iterator[float]:
        """Yield the seconds between the starts of consecutive visits, for a total of about `rate_per_s` requests/s."""
        ...

    def visit(self, number: int) -> Visit:
        """Return visit `number`, from 0. The same number always gives the same user and random stream."""
        ...

    def shift(self, size: float) -> None:
        """Change the world by the design's shift (`Design.shift`) for the visits and publications from now on. A size
        of 0 restores the original world. Visits that have begun keep their world."""
        ...

    def publications(self, from_ts: float, to_ts: float) -> Sequence[Mapping[str, Any]]:
        """Return the items published in [`from_ts`, `to_ts`), in world time."""
        ...
