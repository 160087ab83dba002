"""A user's own click log, and the result of building from it: the interface between `lab build --data` and a design.

A design that can train on a click log names a function (ClickLog, Settings, Progress) -> LogBuild in
`Design.real_logs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infra.errors import UsageError
from infra.evaluation.figures import Figure
from infra.progress import Progress
from infra.settings import Settings

FORMATS = ("criteo", "csv")


@dataclass(frozen=True)
class ClickLog:
    """Format and path of a click log. `label` is the label column of a CSV; `split` is `rows` or `time:COLUMN`."""

    format: Literal["criteo", "csv"]
    path: Path
    label: str | None = None
    split: str = "rows"

    @classmethod
    def of(cls, data: str, label: str | None, split: str | None) -> ClickLog:
        """Parse `--data`, `--label` and `--split`. Raises `UsageError` if their combination is invalid."""
        form, colon, path = data.partition(":")
        if form not in FORMATS or not colon:
            raise UsageError(f"--data takes criteo:FILE or csv:FILE, not {data!r}")
        if not path:
            raise UsageError(f"--data {data} lacks the name of a file", hint=f"for example: --data {form}:clicks.txt")
        if form == "csv" and not label:
            raise UsageError("a CSV needs --label COLUMN", hint="name the column that holds the labels")
        if form == "criteo" and label is not None:
            raise UsageError(
                "--label applies only to csv:FILE",
                hint="omit --label: in the Criteo format the label is the first column",
            )
        split = "rows" if split is None else split
        kind, _, column = split.partition(":")
        if split != "rows" and (kind != "time" or not column):
            raise UsageError(f"--split takes rows or time:COLUMN, not {split!r}")
        if column and column == label:
            raise UsageError("a log cannot be split by its label")
        return cls("csv" if form == "csv" else "criteo", Path(path).expanduser(), label, split)

    @property
    def time(self) -> str | None:
        """The time column by which the log is split, or None for a split by rows."""
        return self.split.partition(":")[2] or None


def size_of(path: Path) -> int:
    """Size of the file in bytes. Raises `UsageError` if the file is missing, unreadable or empty."""
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from None
    if not size:
        raise UsageError(f"{path} is empty")
    return size


@dataclass(frozen=True)
class LogBuild:
    """Result of a build from a click log.

    The results are in the directory `place`. `facts` describes reading (`read`: lines, good, malformed and reasons),
    encoding and training. `found` is true if an earlier build of the same log was reused.
    """

    place: Path
    figures: list[Figure]
    facts: dict[str, Any]
    found: bool


Builder = Callable[[ClickLog, Settings, Progress], LogBuild]
