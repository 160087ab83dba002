"""The user's own click log, as the options of `lab build` name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from infra.build.real_files import size_of
from infra.errors import UsageError

FORMATS = ("criteo", "csv")


@dataclass(frozen=True)
class ClickLog:
    """Format and path of a click log. `label` is the label column of a CSV; `split` is `rows` or `time:COLUMN`."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("data", "label", "split")
    USAGE: ClassVar[str] = "--data criteo:FILE, or --data csv:FILE --label COLUMN; both also --split time:COLUMN"

    format: Literal["criteo", "csv"]
    path: Path
    label: str | None = None
    split: str = "rows"

    @classmethod
    def of(cls, data: str | None = None, label: str | None = None, split: str | None = None) -> ClickLog:
        """Parse `--data`, `--label` and `--split`. Raises `UsageError` if their combination is invalid."""
        if data is None:
            raise UsageError("--label and --split need --data", hint="for example: --data csv:clicks.csv --label click")
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

    def __str__(self) -> str:
        return self.path.name

    def check(self) -> None:
        """Raise `UsageError` if the file is missing, unreadable or empty."""
        size_of(self.path)
