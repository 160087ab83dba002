"""Results of the checks of a prediction log: replay of the predictions, skew of the served features, and what the
candidates lack.

A design names one function for each check (`Design.replay`, `Design.skew`, `Design.candidates`). All functions take
(settings, since, limit, report).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.errors import UsageError
from infra.evaluation.figures import Figure
from infra.progress import Progress
from infra.settings import Settings

if TYPE_CHECKING:  # numpy, which no command needs at its start
    from infra.prediction_log.parity import Skew

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True)
class Since:
    """Start of the checked part of the log: `from_ts` or `last_s` seconds before the newest prediction.

    The later of the two applies. `from_ts` is in seconds since the epoch, UTC, by the world's clock.
    """

    from_ts: float = float("-inf")
    last_s: float = float("inf")

    def first_ts(self, newest_ts: float) -> float:
        return max(self.from_ts, newest_ts - self.last_s)


def parse_since(text: str) -> Since:
    """Parse `all`, a duration before the newest prediction (`10m`; units s, m, h, d) or an ISO time (default UTC).

    Raises `UsageError` for any other text.
    """
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
    """A field that differs on replay: the prediction's id, the field, and a description of the difference."""

    prediction: str
    field: str
    how: str


@dataclass(frozen=True)
class Replayed:
    """Result of a replay.

    Of `rows` predictions, `checked` could be replayed, and `differing` of those differ. `left_out` counts the other
    predictions by reason. `models` counts the checked predictions by model version.
    """

    rows: int
    checked: int
    differing: int
    differences: Sequence[Difference]
    left_out: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """Result of a skew check.

    `features` features of `checked` predictions were computed again from the history and the live log, as of the event
    time of the served features. `skews` lists the features that differ. `left_out` counts the other predictions by
    reason.
    """

    rows: int
    checked: int
    features: int
    skews: Sequence[Skew]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Figures of the `checked` among `rows` predictions. `left_out` counts the other predictions by reason."""

    rows: int
    checked: int
    figures: Sequence[Figure]
    left_out: Mapping[str, int] = field(default_factory=dict)


Replay = Callable[[Settings, Since, int, Progress], Replayed]
SkewCheck = Callable[[Settings, Since, int, Progress], Compared]
CandidateCheck = Callable[[Settings, Since, int, Progress], Measured]
