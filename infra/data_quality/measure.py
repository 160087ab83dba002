"""Runs the checks of a log in DuckDB, on its Parquet files: one pass over each table counts the broken rows by day.

DuckDB streams the files, so a log larger than the memory can be checked. A file whose schema differs from the declared
one is a finding itself, and its rows are left out. A file that is not Parquet raises `LabError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra.data_quality.checks import FEW, LogTable, Rule, columns_of
from infra.data_quality.results import Finding, Report, Status
from infra.errors import LabError
from infra.progress import Progress

SAMPLES = 5
"""broken rows that a finding shows"""
DAY = re.compile(r"date=([0-9]{4}-[0-9]{2}-[0-9]{2})")
VALUE_CHARS = 80
LATER = "day = ? AND (file, row) IN (SELECT (file, row) FROM later)"


def check_log(
    design: str,
    preset: str,
    tables: Sequence[LogTable],
    folders: Mapping[str, Path],
    days: Sequence[str],
    report: Progress,
) -> Report:
    """Run the checks of `tables`. `folders` maps a step to its output directory. `days` are the dates that a table with
    a `volume` must have. Raises `LabError` for a file that cannot be read."""
    findings: list[Finding] = []
    rows: dict[str, dict[str, int]] = {}
    with _duckdb_errors(), duckdb.connect() as database:
        database.execute("SET TimeZone='UTC'")
        for table in tables:
            files, wrong = _sound_files(table, folders[table.step])
            findings += wrong
            _create_view(database, table, files)
        for place, table in enumerate(tables):
            found, counted = _check_rows(database, table)
            findings += [*found, *_check_duplicates(database, table, counted)]
            incomplete = {
                finding.day for finding in findings if (finding.table, finding.kind) == (table.name, "schema")
            }
            findings += [one for one in _check_volume(table, counted, days) if one.day not in incomplete]
            rows[table.name] = counted
            report((place + 1) / len(tables), f"{table.name}: {sum(counted.values()):,} rows")
    return Report(design, preset, rows, tuple(findings))


@contextmanager
def _duckdb_errors() -> Iterator[None]:
    """Convert the errors of a damaged file to a `LabError`. DuckDB names the file in its message."""
    try:
        yield
    except duckdb.Error as exc:
        raise LabError(f"the log cannot be read: {exc}", hint="move that file away and build again") from exc


def _sound_files(table: LogTable, directory: Path) -> tuple[list[Path], list[Finding]]:
    """The files with the declared columns, and a finding for each other file and for a table without its file."""
    single = (directory / table.folder).with_suffix(".parquet")
    files = [single] if single.exists() else sorted((directory / table.folder).rglob("*.parquet"))
    kept, findings = [], []
    for file in files:
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowException, OSError) as exc:
            raise LabError(f"{file} cannot be read: {exc}", hint="move that file away and build again") from exc
        types = columns_of(schema)
        wrong = [
            f"{name} is {types.get(name, 'missing')}, not {kind}"
            for name, kind in table.columns.items()
            if types.get(name) != kind
        ]
        if wrong:
            day, rows = _day_of(file), pq.read_metadata(file).num_rows
            detail = f"{file.name}: {'; '.join(wrong)}"
            findings.append(
                Finding(table.name, day, "columns and their types", "schema", "failed", rows, rows, "", detail)
            )
        else:
            kept.append(file)
    return kept, findings


def _day_of(file: Path) -> str:
    found = DAY.search(str(file))
    return found.group(1) if found else ""


def _create_view(database: duckdb.DuckDBPyConnection, table: LogTable, files: list[Path]) -> None:
    if not files:
        empty = pa.schema([(name, _arrow_type(kind)) for name, kind in table.columns.items()]).empty_table()
        for name in ("file", "day"):
            empty = empty.append_column(name, pa.array([], pa.string()))
        database.register(table.name, empty.append_column("row", pa.array([], pa.int64())))
        return
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    columns = ", ".join(f'"{name}"' for name in table.columns)
    database.execute(
        f"CREATE VIEW {table.name} AS SELECT {columns}, filename AS file, file_row_number AS row, "
        f"regexp_extract(filename, '{DAY.pattern}', 1) AS day "
        f"FROM read_parquet([{listed}], filename=true, file_row_number=true, hive_partitioning=false)"
    )


def _arrow_type(name: str) -> pa.DataType:
    if name == "timestamp[us, tz=UTC]":
        return pa.timestamp("us", tz="UTC")
    if name.startswith("list<"):
        return pa.list_(_arrow_type(name[len("list<") : -1]))
    return pa.type_for_alias(name)


def _check_rows(database: duckdb.DuckDBPyConnection, table: LogTable) -> tuple[list[Finding], dict[str, int]]:
    """One finding per rule and day, and the number of rows by day."""
    flags = "".join(
        f", ({rule.among}) AS a{place}, {_broken(rule)} AS b{place}" for place, rule in enumerate(table.rules)
    )
    counts = "".join(
        f", count(*) FILTER (WHERE a{place}), count(*) FILTER (WHERE b{place})" for place in range(len(table.rules))
    )
    query = f"SELECT day, count(*){counts} FROM (SELECT day{flags} FROM {table.name}) GROUP BY day ORDER BY day"
    findings, rows = [], {}
    for day, total, *found in database.execute(query).fetchall():
        rows[day] = total
        for rule, among, broken in zip(table.rules, found[::2], found[1::2], strict=True):
            findings.append(_finding(database, table, rule, day, among, broken))
    return findings, rows


def _broken(rule: Rule) -> str:
    """The SQL condition of a row that breaks the rule."""
    return f"(({rule.among}) AND NOT coalesce(({rule.sql}), false))"


def _finding(
    database: duckdb.DuckDBPyConnection, table: LogTable, rule: Rule, day: str, rows: int, broken: int
) -> Finding:
    status = _status(broken, rows, rule.expected, rule.tolerated)
    limit = f"{max(rule.expected, rule.tolerated):.1%}" if rule.tolerated or rule.expected else "no row"
    samples: tuple[Mapping[str, Any], ...] = ()
    if status != "passed":
        samples = _samples(database, table, rule.columns, f"day = ? AND {_broken(rule)}", day)
    return Finding(table.name, day, rule.name, rule.kind, status, rows, broken, limit, "", samples)


def _status(broken: int, rows: int, expected: float, tolerated: float) -> Status:
    if broken <= expected * rows:
        return "passed"
    return "warned" if tolerated and broken <= max(tolerated * rows, FEW) else "failed"


def _samples(
    database: duckdb.DuckDBPyConnection, table: LogTable, columns: Sequence[str], where: str, day: str
) -> tuple[Mapping[str, Any], ...]:
    names = list(dict.fromkeys(["file", "row", *table.key, *columns]))
    query = f"SELECT {', '.join(names)} FROM {table.name} WHERE {where} ORDER BY file, row LIMIT {SAMPLES}"
    return tuple(
        {name: _shown(name, value) for name, value in zip(names, row, strict=True)}
        for row in database.execute(query, [day]).fetchall()
    )


def _shown(name: str, value: Any) -> Any:
    if name == "file":
        return "/".join(Path(value).parts[-2:])
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"


def _check_duplicates(
    database: duckdb.DuckDBPyConnection, table: LogTable, rows: Mapping[str, int]
) -> Iterator[Finding]:
    """One finding per day: rows whose key an earlier row has. The slow search for them runs only if there are some."""
    if not table.key or not rows:
        return
    key = ", ".join(table.key)
    distinct = database.execute(f"SELECT count(*) FROM (SELECT DISTINCT {key} FROM {table.name})").fetchone()
    repeated: dict[str, int] = {}
    if distinct is not None and distinct[0] < sum(rows.values()):
        database.execute(
            "CREATE OR REPLACE TEMP TABLE later AS SELECT file, row, day FROM (SELECT file, row, day, row_number() "
            f"OVER (PARTITION BY {key} ORDER BY day, file, row) AS nth FROM {table.name}) WHERE nth > 1"
        )
        repeated = dict(database.execute("SELECT day, count(*) FROM later GROUP BY day").fetchall())
    for day, total in rows.items():
        broken = repeated.get(day, 0)
        status = _status(broken, total, 0.0, table.tolerated)
        samples = _samples(database, table, (), LATER, day) if broken else ()
        limit = f"{table.tolerated:.1%}" if table.tolerated else "no row"
        yield Finding(table.name, day, f"one row per {key}", "duplicate", status, total, broken, limit, "", samples)


def _check_volume(table: LogTable, rows: Mapping[str, int], days: Sequence[str]) -> Iterator[Finding]:
    volume = table.volume
    if volume is None:
        return
    for place, day in enumerate(days):
        count, before = rows.get(day, 0), [rows.get(one, 0) for one in days[max(place - volume.days_before, 0) : place]]
        usual = median(before) if before else 0
        ratio = count / usual if usual else 1.0
        status: Status = "passed"
        if not count or (place >= volume.free_days and not volume.low <= ratio <= volume.high):
            status = "failed"
        elif place >= volume.free_days and not volume.warn_low <= ratio <= volume.warn_high:
            status = "warned"
        detail = f"{count:,} rows" + (f", {ratio:.2f} × the median of the days before ({usual:,.0f})" if usual else "")
        limit = f"{volume.low:g} to {volume.high:g} × the median"
        yield Finding(table.name, day, "rows of the day", "volume", status, count, 0, limit, detail)
