"""The checks of a log as values: tables, their columns, and the rules that their rows must meet.

A design lists its tables in `events/checks.py`. `infra.data_quality.measure` runs the rules in DuckDB on the Parquet
files. A rule is an SQL condition of one row, so a learner can run it by hand on the same files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

FEW = 20
"""broken rows of a day that never fail a rule with a tolerated share: a share of few rows says little"""
Kind = Literal["schema", "range", "null", "volume", "reference", "duplicate", "label_delay", "consistency"]


@dataclass(frozen=True)
class Rule:
    """A condition that each row must meet, as an SQL expression. A row for which it is NULL breaks the rule.

    `columns` are the columns that the report shows of a broken row. A share of the rows of a day up to `expected`
    passes, up to `tolerated` is a warning, and above fails the build. If some rows are tolerated, so are `FEW`. Shares
    are of the rows for which `among` is true; the rule applies to no others.
    """

    name: str
    kind: Kind
    sql: str
    columns: tuple[str, ...]
    expected: float = 0.0
    tolerated: float = 0.0
    among: str = "true"


@dataclass(frozen=True)
class Volume:
    """The rows of a day, divided by the median of up to `days_before` earlier days, must lie in `low` to `high`.

    Outside `warn_low` to `warn_high` is a warning. A day without rows fails. The first `free_days` are not compared.
    """

    low: float = 0.4
    high: float = 2.5
    warn_low: float = 0.6
    warn_high: float = 1.7
    days_before: int = 7
    free_days: int = 2


@dataclass(frozen=True)
class LogTable:
    """A table of the log: the output directory of the step `step` has it as a folder of day partitions
    (`folder/date=YYYY-MM-DD/…`), or as one file `folder.parquet` without days.

    `columns` maps required columns to Arrow types; a file may have more. `key` columns identify a row: a second row
    with the same key is a duplicate. A share of duplicates up to `tolerated` is a warning. The rules are measured only
    in files with these columns.
    """

    name: str
    step: Literal["world", "live"]
    folder: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    volume: Volume | None = None
    tolerated: float = 0.0


def columns_of(schema: pa.Schema) -> dict[str, str]:
    """Column -> name of its type, for `LogTable.columns`."""
    return {name: type_name(schema.field(name).type) for name in schema.names}


def type_name(kind: pa.DataType) -> str:
    """The name of a type. A dictionary of strings counts as strings; a list is named after its values alone."""
    if pa.types.is_list(kind):
        return f"list<{kind.value_type}>"
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def in_range(column: str, low: float, high: float, *, tolerated: float = 0.0) -> Rule:
    """`low` <= column <= `high`; a NULL passes, see `not_null`. NaN is above every number, so it breaks the rule."""
    sql = f"{column} IS NULL OR {column} BETWEEN {low!r} AND {high!r}"
    return Rule(f"{column} in {low:g} to {high:g}", "range", sql, (column,), tolerated=tolerated)


def not_null(*columns: str, tolerated: float = 0.0) -> Rule:
    sql = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    return Rule(f"{', '.join(columns)} not null", "null", sql, columns, tolerated=tolerated)


def one_of(column: str, values: Sequence[str | int], *, tolerated: float = 0.0) -> Rule:
    """The column has one of these values; a NULL breaks the rule."""
    listed = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)
    return Rule(f"{column} is one of {listed}", "range", f"{column} IN ({listed})", (column,), tolerated=tolerated)


def refers_to(column: str, *keys: str, unless: str = "false", tolerated: float = 0.0) -> Rule:
    """The value is in one of the columns `keys`, each `table.column` of a table of the log. Rows for which the SQL
    condition `unless` is true need no such value."""
    found = " OR ".join(f"{column} IN (SELECT {key.partition('.')[2]} FROM {key.partition('.')[0]})" for key in keys)
    sql = f"({unless}) OR {found}"
    return Rule(f"{column} refers to {' or '.join(keys)}", "reference", sql, (column,), tolerated=tolerated)


def label_delay(begin: str, end: str, most_s: float, *, expected: float = 0.0, tolerated: float = 0.0) -> Rule:
    """The label at time `end` comes 0 to `most_s` seconds after `begin`; a missing label passes."""
    sql = f"epoch({end}) - epoch({begin}) BETWEEN 0 AND {most_s!r}"
    name = (
        f"{end} 0 to {most_s / 3600:g} h after {begin}" if most_s >= 3600 else f"{end} 0 to {most_s:g} s after {begin}"
    )
    return Rule(name, "label_delay", sql, (begin, end), expected, max(expected, tolerated), f"{end} IS NOT NULL")


def holds(name: str, sql: str, *columns: str, tolerated: float = 0.0) -> Rule:
    """A condition between columns of one row."""
    return Rule(name, "consistency", sql, columns, tolerated=tolerated)
