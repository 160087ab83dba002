"""A log of clicks that a user brings, and what a design makes of it: what lies between `lab build --data` and a design.

A design that can learn from one names a function (ClickLog, Settings, Progress) -> LogBuild in `Design.real_logs`.
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
    """`label` is the column of a CSV that says what was clicked; `split` is `rows` or `time:COLUMN`."""

    format: Literal["criteo", "csv"]
    path: Path
    label: str | None = None
    split: str = "rows"

    @classmethod
    def of(cls, data: str, label: str | None, split: str | None) -> ClickLog:
        """What `--data`, `--label` and `--split` say. Raises `UsageError` where they make no sense together."""
        form, colon, path = data.partition(":")
        if form not in FORMATS or not colon:
            raise UsageError(f"--data takes criteo:FILE or csv:FILE, not {data!r}")
        if not path:
            raise UsageError(f"--data {data} names no file", hint=f"as in --data {form}:clicks.txt")
        if form == "csv" and not label:
            raise UsageError("a CSV needs --label COLUMN", hint="the column that says what was clicked")
        if form == "criteo" and label is not None:
            raise UsageError("--label is for csv:FILE", hint="in the Criteo format the label comes first")
        split = "rows" if split is None else split
        kind, _, column = split.partition(":")
        if split != "rows" and (kind != "time" or not column):
            raise UsageError(f"--split takes rows or time:COLUMN, not {split!r}")
        if column and column == label:
            raise UsageError("a log cannot be split by its label")
        return cls("csv" if form == "csv" else "criteo", Path(path).expanduser(), label, split)

    @property
    def time(self) -> str | None:
        """The column by which the log is split, if it is."""
        return self.split.partition(":")[2] or None


def size_of(path: Path) -> int:
    """Bytes. Raises `UsageError` where there is no file that can be read, or nothing in it."""
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
    """Where the results lie; `facts` has what was read (`read`: lines, good, malformed and reasons), how it was encoded
    and learned; `found` where an earlier build of the same had left it."""

    place: Path
    figures: list[Figure]
    facts: dict[str, Any]
    found: bool


Builder = Callable[[ClickLog, Settings, Progress], LogBuild]
