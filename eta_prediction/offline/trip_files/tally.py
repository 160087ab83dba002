"""Counts the rows of a file, and the unusable ones by reason with the numbers of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eta_prediction.domain import Ints

SHOWN = 5
"""number of line numbers to keep per reason"""


@dataclass
class Refused:
    """The rows refused for one reason: their count, and the numbers of the first ones, from 1."""

    count: int = 0
    first: list[int] = field(default_factory=list)


@dataclass
class Tally:
    """Counts of rows: `lines` = `good` + refused rows. A header does not count.

    `what` names what is counted, and `number` names what the numbers of the first refused rows count.
    """

    what: str = "rows"
    number: str = "line"
    lines: int = 0
    good: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)

    def refuse(self, reason: str, numbers: Ints | Sequence[int], count: int | None = None) -> None:
        """Count rows by their numbers; `count` overrides the number of rows."""
        count = len(numbers) if count is None else count
        if not count:
            return
        found = self.refused.setdefault(reason, Refused())
        found.count += count
        found.first = sorted([*found.first, *(int(number) for number in numbers[:SHOWN])])[:SHOWN]

    @property
    def bad(self) -> int:
        return sum(found.count for found in self.refused.values())

    def rows(self) -> dict[str, Any]:
        """The tally as JSON values, reasons by count."""
        ordered = sorted(self.refused.items(), key=lambda item: (-item[1].count, item[0]))
        reasons = {reason: {"count": found.count, "first_lines": found.first} for reason, found in ordered}
        counts = {"lines": self.lines, "good": self.good, "malformed": self.bad}
        return {"what": self.what, "number": self.number, **counts, "reasons": reasons}

    def hint(self) -> str:
        """The three most frequent reasons in one line."""
        texts = []
        for reason, found in list(self.rows()["reasons"].items())[:3]:
            first = f", first in {self.number} {found['first_lines'][0]:,}" if found["first_lines"] else ""
            texts.append(f"{reason}: {found['count']:,}{first}")
        return "; ".join(texts)
