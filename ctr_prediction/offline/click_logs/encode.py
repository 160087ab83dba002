"""Encodes the columns of a log as model inputs: standardised numbers, and ids of tables.

Means, bucket bounds and vocabularies come only from the training rows, which `Encoder.of` receives. A word that occurs
fewer than `LEAST` times in them maps to the rare id of its column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.offline.click_logs.read import BEYOND, BLANK, Column, Log
from ctr_prediction.offline.click_logs.vocabulary import Vocabulary
from infra.errors import LabError

BUCKETS = 32
"""number of quantile buckets for a fractional number"""
ONCE = 0.9
"""share of distinct values above which a column identifies its rows and is dropped"""
DAY_S, HOUR_S = 86_400.0, 3_600.0
WEEKS = 14 * DAY_S
"""minimum length of the training part for weekday inputs"""
Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Scale:
    """Standardisation of a number: (x - `mean`) / `sd`, of its logarithm if `logged`."""

    column: str
    logged: bool
    mean: float
    sd: float

    @classmethod
    def learned(cls, column: str, values: Numbers, *, logged: bool) -> Scale:
        shown = signed_log(values) if logged else values
        return cls(column, logged, float(np.nanmean(shown)), float(np.nanstd(shown)) or 1.0)

    def of(self, values: Numbers) -> npt.NDArray[np.float32]:
        """float32[n], 0 for a blank, clipped at 5 sd to limit outliers."""
        shown = signed_log(values) if self.logged else values
        return np.nan_to_num(np.clip((shown - self.mean) / self.sd, -5, 5)).astype(np.float32)


@dataclass(frozen=True)
class Ids:
    """One table: the `codes` of a column's values, negative for a blank, and the vocabulary of values with their own
    id."""

    name: str
    column: str
    codes: Callable[[npt.NDArray[Any]], Codes]
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Encoder:
    """`flags` are the columns whose missingness is an input; `notes` list the dropped columns."""

    scales: tuple[Scale, ...]
    flags: tuple[str, ...]
    ids: tuple[Ids, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, log: Log, train: Rows, order: str | None = None) -> Encoder:
        """Fit the encoder to the rows `train`. A numeric column `order`, by which the log is split, is no input,
        because the test values lie outside the training range."""
        scales: list[Scale] = []
        flags: list[str] = []
        ids: list[Ids] = []
        notes: list[str] = []
        for column in log.columns:
            name, values = column.field.name, column.values[train]
            if (reason := _reason_to_drop(column, values)) or (name == order and column.field.kind != "time"):
                notes.append(f"column {name} is not an input: {reason or 'the log is split by it'}")
                continue
            for table, codes in _tables(column, values):
                vocabulary = Vocabulary.of(codes(values))
                if len(np.unique(vocabulary.ids(codes(values)))) > 1:
                    ids.append(Ids(table, name, codes, vocabulary))
            if column.field.kind in ("integer", "number"):
                scales.append(Scale.learned(name, values, logged=column.field.kind == "integer" or _skewed(values)))
                if np.isnan(values).any():
                    flags.append(name)
        return cls(tuple(scales), tuple(flags), tuple(ids), tuple(notes))

    def require_inputs(self) -> None:
        """Raise `LabError` if no usable column is left."""
        if not self.ids:
            raise LabError(
                "no column of the log has repeated values",
                hint="; ".join(self.notes[:5]) or "the log has no column besides the label",
            )

    @property
    def numeric(self) -> int:
        return len(self.scales) + len(self.flags)

    def numbers(self, log: Log, rows: Rows) -> npt.NDArray[np.float32]:
        """float32[n, numeric]: the standardised numbers."""
        found = [scale.of(log.column(scale.column).values[rows]) for scale in self.scales]
        found += [np.isnan(log.column(flag).values[rows]).astype(np.float32) for flag in self.flags]
        return np.stack(found, axis=1) if found else np.zeros((len(rows), 0), np.float32)

    @property
    def sizes(self) -> list[int]:
        """Number of ids of each column of `places`."""
        return [len(one.vocabulary) for one in self.ids]

    def places(self, log: Log, rows: Rows) -> npt.NDArray[np.int32]:
        """int32[n, ids]: rows of one table in which the ids of all columns are concatenated."""
        first = np.cumsum([0, *self.sizes[:-1]])
        found = [one.vocabulary.ids(one.codes(log.column(one.column).values[rows])) for one in self.ids]
        return np.stack(found, axis=1) + first.astype(np.int32)


def signed_log(values: Numbers) -> Numbers:
    found: Numbers = np.sign(values) * np.log1p(np.abs(values))
    return found


def log_buckets(values: npt.NDArray[Any]) -> Codes:
    """int64[n]: small whole numbers unchanged, larger ones as ⌊ln² v⌋, as in the winning entry of the Criteo challenge
    (Juan, Zhuang and Chin, 3 Idiots' Approach, 2014); -1 for a blank."""
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(size <= 2, size, 3 + np.floor(np.log(size) ** 2))
    return _signed(np.where(values < 0, -place, place))


def whole_codes(values: npt.NDArray[Any]) -> Codes:
    """int64[n]: a code for each whole number, -1 for a blank."""
    return _signed(values)


def hour_codes(values: npt.NDArray[Any]) -> Codes:
    return _signed(values % DAY_S // HOUR_S)


def weekday_codes(values: npt.NDArray[Any]) -> Codes:
    return _signed(values // DAY_S % 7)


def word_codes(values: npt.NDArray[Any]) -> Codes:
    """int64[n], -1 for a blank. Words beyond the reader's limit share a code that no vocabulary contains."""
    codes = values.astype(np.int64)
    return np.where(codes == BLANK, -1, np.where(codes == BEYOND, 2**40 + np.arange(len(codes)), codes))


def _signed(values: Numbers) -> Codes:
    """Maps whole numbers to codes >= 0: even codes for numbers >= 0, odd codes for negative numbers."""
    known = np.nan_to_num(values, nan=0.0)
    codes = np.where(known < 0, -2 * known - 1, 2 * known).clip(0, 2**60).astype(np.int64)
    return np.where(np.isnan(values), -1, codes)


def _tables(column: Column, values: npt.NDArray[Any]) -> Iterator[tuple[str, Callable[[npt.NDArray[Any]], Codes]]]:
    name, kind = column.field.name, column.field.kind
    if kind == "category":
        yield name, word_codes
    elif kind == "integer":
        yield name, log_buckets
    elif kind == "time":
        yield f"{name}.hour", hour_codes
        if np.nanmax(values) - np.nanmin(values) >= WEEKS:
            yield f"{name}.weekday", weekday_codes
    elif (values[~np.isnan(values)] % 1 == 0).all():
        codes = whole_codes(values)
        buckets = log_buckets(values)
        yield name, log_buckets
        # a number may be an identifier: encode it as a word if most rows have a repeated value
        if len(np.unique(codes)) > len(np.unique(buckets)) and (Vocabulary.of(codes).ids(codes) != 1).mean() > 0.5:
            yield f"{name}.value", whole_codes
    else:
        bounds = np.unique(np.nanquantile(values, np.linspace(0, 1, BUCKETS + 1)[1:-1]))
        yield name, lambda some: np.where(np.isnan(some), -1, np.searchsorted(bounds, some, "right")).astype(np.int64)


def _reason_to_drop(column: Column, values: npt.NDArray[Any]) -> str:
    """The reason why the column carries no information, or the empty string."""
    known = values[values != BLANK] if column.field.kind == "category" else values[~np.isnan(values)]
    if not len(known):
        return "it is blank in all rows of the training part"
    distinct = len(np.unique(known))
    if distinct == 1 and len(known) == len(values):
        return "it is the same in all rows of the training part"
    names = column.field.kind == "category" or (
        column.field.kind == "number" and (known % 1 == 0).all() and _identifies_rows(known)
    )
    return "nearly every row has a different value" if names and distinct > ONCE * len(known) > 9 else ""


def _identifies_rows(known: Numbers) -> bool:
    """Whether whole numbers identify the rows: they count the rows, or their range is far larger than the number of
    rows."""
    return bool((np.diff(known) > 0).all() or np.ptp(known) > 1e9)


def _skewed(values: Numbers) -> bool:
    size = np.abs(values[~np.isnan(values)])
    return bool(np.quantile(size, 0.99) > 8 * np.median(size) + 8)
