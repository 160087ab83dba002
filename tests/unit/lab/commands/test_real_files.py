"""The file options of `lab build` are parsed by the design that they belong to, and refused by the others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ctr_prediction.design import DESIGN as ADS
from eta_prediction.design import DESIGN as ETA
from infra.build.click_log import ClickLog
from infra.build.trip_files import TripFiles
from infra.errors import UsageError
from infra.settings import REPOSITORY
from lab.cli import app
from lab.commands.real_files import parse_files
from lab.designs import find_design


def refusal(*arguments: str) -> str:
    """Message and hint of a command that is refused with exit code 2."""
    done = CliRunner().invoke(app, ["build", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert done.exception.exit_code == 2
    return f"{done.exception} | {done.exception.hint}"


def test_options_become_the_files_of_their_design() -> None:
    assert parse_files(ADS, {"data": "csv:x", "label": "y"}) == ClickLog("csv", Path("x"), "y")
    columns = {"pickup_time": "t", "duration": "s", "from_lonlat": "a,b", "to_lonlat": "c,d"}
    found = parse_files(ETA, {"data": "csv:x", "graph": "dimacs:y", "split": "rows", **columns})
    assert isinstance(found, TripFiles)
    assert (found.format, found.path, found.graph, found.split) == ("csv", Path("x"), Path("y"), "rows")
    assert dict(found.columns)["to_lat"] == "d"
    assert str(found) == "y and x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ctr_prediction", "--graph", "dimacs:x"), "--graph is no option of ctr_prediction"),
        (("ctr_prediction", "--data", "csv:x", "--from-lonlat", "a,b"), "--from-lonlat is no option of ctr_prediction"),
        (("eta_prediction", "--data", "taxi:x", "--label", "y"), "--label is no option of eta_prediction"),
        (("eta_prediction", "--data", "criteo:x"), "taxi:FILE, tlc:FILE or csv:FILE"),
        (("eta_prediction", "--data", "tlc:x"), "needs --zones"),
        (("eta_prediction", "--data", "csv:x", "--duration", "s"), "a CSV needs --pickup-time"),
        (("eta_prediction", "--data", "taxi:x", "--split", "time:day"), "time or rows"),
        (("eta_prediction", "--graph", "dimacs:x", "--split", "rows"), "--split needs --data"),
        (("eta_prediction", "--zones", "x"), "needs --data or --graph"),
        (("eta_prediction", "--graph", "dimacs:x", "--from", "train"), "generated world"),
        (("eta_prediction", "--graph", "dimacs:/no/such/place"), "there is no directory"),
        (("eta_prediction", "--data", "taxi:/no/such/file"), "there is no file"),
        (("feed_ranking", "--data", "taxi:x"), "cannot train on your own files | designs that can: ctr_prediction"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal(*arguments)


def test_swapped_columns_of_a_place_are_refused_with_the_right_order() -> None:
    options = ("--pickup-time", "t", "--duration", "s", "--from-lonlat", "Lat1,Lng1", "--to-lonlat", "c,d")
    assert "longitude first | for example: --from-lonlat Lng1,Lat1" in refusal(
        "eta_prediction", "--data", "csv:x", *options
    )


def test_a_refused_option_names_the_options_of_the_design() -> None:
    assert "--data criteo:FILE" in refusal("ctr_prediction", "--graph", "dimacs:x")
    assert "--graph dimacs:DIR" in refusal("eta_prediction", "--label", "x")


def test_design_without_real_files_refuses_them() -> None:
    for design in (find_design("feed_ranking"), replace(ETA, real_files=None)):
        with pytest.raises(UsageError, match="cannot train on your own files"):
            parse_files(design, {"data": "taxi:x"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("missing", None, "there is no file"), ("other.csv", "a,b\n1,2\n", "has no column 'pickup_datetime'")],
)
def test_files_are_checked_before_training_code_is_imported(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    """The import of training code takes seconds."""
    if content is not None:
        (tmp_path / name).write_text(content)
    code = (
        "import sys\nfrom infra.errors import UsageError\nfrom lab.commands.making import build\n"
        "try:\n    build('eta_prediction', data=sys.argv[1])\n"
        "except UsageError as exc:\n    print(exc, [n for n in ('lightgbm', 'pandas', 'jax') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code, f"taxi:{tmp_path / name}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert message in done.stdout
    assert done.stdout.endswith("[]\n")


def test_help_lists_the_options_by_design(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = CliRunner().invoke(app, ["build", "--help"]).output
    panels = [
        line for line in text.splitlines() if "ctr_prediction on your" in line or "eta_prediction on your" in line
    ]
    assert len(panels) == 2
    assert text.index("--label") < text.index(panels[1]) < text.index("--graph") < text.index("--to-lonlat")
