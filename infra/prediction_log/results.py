"""What can be found out from a log of predictions, for any design: do they come out again, were their features right?

A design names one function for each (`Design.replay`, `Design.skew`); both take (settings, since, limit, report).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.errors import UsageError
from infra.prediction_log.parity import Skew
from infra.progress import Progress
from infra.settings import Settings

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True)
class Since:
    """From when on the log counts: a time (seconds since the epoch, UTC, by the world's clock), or so many seconds
    before the newest prediction, whichever is later."""

    from_ts: float = float("-inf")
    last_s: float = float("inf")

    def first_ts(self, newest_ts: float) -> float:
        return max(self.from_ts, newest_ts - self.last_s)


def parse_since(text: str) -> Since:
    """`all`, `10m` (s, m, h, d: before the newest prediction) or an ISO time (UTC where it names no zone)."""
    if text == "all":
        return Since()
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        return Since(last_s=int(found[1]) * UNITS_S[found[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since takes 10m, 2h, an ISO time or all, not {text!r}") from None
    return Since(from_ts=(at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


@dataclass(frozen=True)
class Difference:
    """A number that moved: in which prediction, which of its fields, and how."""

    prediction: str
    field: str
    how: str


@dataclass(frozen=True)
class Replayed:
    """`rows` were read, of which `checked` could be made again and `differing` came out otherwise. `left_out` counts
    the others by reason; `models` the checked ones by the version that made them."""

    rows: int
    checked: int
    differing: int
    differences: Sequence[Difference]
    left_out: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """`features` of `checked` predictions were computed again from the history and the live log, as of the time that
    they spoke for; `skews` are those that differ."""

    rows: int
    checked: int
    features: int
    skews: Sequence[Skew]
    left_out: Mapping[str, int] = field(default_factory=dict)


Replay = Callable[[Settings, Since, int, Progress], Replayed]
SkewCheck = Callable[[Settings, Since, int, Progress], Compared]
