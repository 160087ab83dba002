"""New files are found in the order of their writing, without listing the folders of earlier hours."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.telemetry.drift.log_files import LogFile, columns_of, first_window, new_files, tables_of, whole_tables

S = 1_000_000_000


def write(root: Path, hour: int, at_s: int, rows: int = 10) -> None:
    """Write a file at `at_s` seconds, and give its folder that time, as a file system does."""
    folder = root / "date=2026-01-05" / f"hour={hour:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"x": range(rows)}), folder / f"part-epoch-{at_s * S:020d}.parquet")
    os.utime(folder, ns=(at_s * S, at_s * S))


def times(root: Path, after_s: int, until_s: int) -> list[int]:
    return [file.written_ns // S for file in new_files(root, after_s * S, until_s * S)]


def test_files_of_an_interval_are_found_oldest_first(tmp_path: Path) -> None:
    for hour, at_s in ((1, 200), (0, 100), (0, 110), (1, 210)):
        write(tmp_path, hour, at_s)
    (tmp_path / "date=2026-01-05" / "hour=01" / f"part-epoch-{205 * S:020d}.partial").touch()
    assert times(tmp_path, 0, 1000) == [100, 110, 200, 210]
    assert times(tmp_path, 100, 200) == [110, 200]
    assert times(tmp_path, 210, 1000) == []


def test_folders_that_did_not_change_are_not_listed(tmp_path: Path) -> None:
    write(tmp_path, 0, 100)
    write(tmp_path, 1, 200)
    os.utime(tmp_path / "date=2026-01-05" / "hour=01", ns=(50 * S, 50 * S))  # as if nothing had been added since
    assert times(tmp_path, 60, 1000) == [100]


def test_a_window_ends_at_its_rows_or_at_its_time(tmp_path: Path) -> None:
    for at_s in (100, 110, 170, 180):
        write(tmp_path, 0, at_s)
    files = new_files(tmp_path, 0, 1000 * S)

    def window(rows: int, fewest: int, now_s: int) -> list[int]:
        return [file.written_ns // S for file in first_window(files, rows, 60.0, fewest, now_s * S, [])]

    assert window(20, 15, 1000) == [100, 110]  # two files have the rows
    assert window(1000, 15, 165) == [100, 110]
    assert window(1000, 15, 1000) == [100, 110]  # the third file is 70 s later
    assert window(1000, 35, 1000) == [100, 110, 170, 180]  # too few rows in the first minute
    assert window(1000, 45, 1000) == []


def test_tables_hold_every_row(tmp_path: Path) -> None:
    for at_s in range(100, 160):
        write(tmp_path, 0, at_s)
    found = list(tables_of(new_files(tmp_path, 0, 1000 * S)))
    assert len(found) > 1
    assert sum(map(len, found)) == 600


def test_a_damaged_file_is_left_out_and_noted(tmp_path: Path) -> None:
    for at_s in (100, 101, 102):
        write(tmp_path, 0, at_s)
    files, damaged = new_files(tmp_path, 0, 1000 * S), list[LogFile]()
    files[1].path.write_bytes(b"PAR1")
    ((read, table),) = whole_tables(files, damaged)
    assert (read, damaged, len(table)) == ([files[0], files[2]], [files[1]], 20)
    assert sum(map(len, tables_of(files))) == 20
    assert sum(map(len, columns_of(files, [table.column_names[0]]))) == 20


def test_a_file_that_the_worker_has_deleted_is_not_damaged(tmp_path: Path) -> None:
    write(tmp_path, 0, 100)
    files, damaged = new_files(tmp_path, 0, 1000 * S), list[LogFile]()
    files[0].path.unlink()
    assert list(whole_tables(files, damaged)) == []
    assert first_window(files, 10, 60.0, 5, 1000 * S, damaged) == []
    assert damaged == []
