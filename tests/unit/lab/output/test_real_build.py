"""The result of a build from real files is described line by line, with and without training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.build.real_files import RealBuild, Table
from infra.evaluation.figures import Figure
from lab.output.real_build import described, show_real_build

READ = {
    "what": "rows",
    "number": "row",
    "lines": 1_200,
    "good": 1_193,
    "malformed": 7,
    "reasons": {
        "a zone is blank": {"count": 6, "first_lines": [3, 4, 5, 6, 7]},
        "a lost line": {"count": 1, "first_lines": []},
    },
}
FIGURE = Figure("mae_model", "mean absolute error", 81.5, 80.0, 83.0, "s")


def built(place: Path, *tables: Table, found: bool = False) -> RealBuild:
    (place / "report.json").touch()
    return RealBuild(place, [FIGURE], {"read": READ, "notes": ["no map"]}, found, tables)


def test_rows_are_described_with_reasons_and_numbers() -> None:
    assert described({"read": READ, "notes": ["no map"]}) == [
        "1,200 rows: 1,193 usable, 7 refused",
        "  refused, a zone is blank: 6 (row 3, 4, 5, 6, 7 …)",
        "  refused, a lost line: 1",
        "  no map",
    ]


def test_tables_replace_the_list_of_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_real_build(built(tmp_path, Table(("", "model"), (("error", "81.5 s"),))), as_json=False, quiet=False)
    out, err = capsys.readouterr()
    assert "81.5 s" in out
    assert "mae_model" not in out
    assert f"results: {tmp_path} (report.json)" in err


def test_figures_are_listed_without_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_real_build(built(tmp_path, found=True), as_json=False, quiet=False)
    out, err = capsys.readouterr()
    assert "mae_model" in out
    assert f"up to date, nothing was built again: {tmp_path}" in err


def test_quiet_prints_the_figures_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_real_build(built(tmp_path), as_json=False, quiet=True)
    out, err = capsys.readouterr()
    assert "mae_model" in out
    assert not err


def test_json_holds_facts_figures_and_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_real_build(built(tmp_path), as_json=True, quiet=False)
    found = json.loads(capsys.readouterr().out)
    assert found["read"] == READ
    assert [row["id"] for row in found["figures"]] == ["mae_model"]
    assert found["place"] == str(tmp_path)


def test_table_in_markdown_has_a_line_per_row() -> None:
    assert Table(("a", "b"), (("1", "2"),)).markdown() == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
