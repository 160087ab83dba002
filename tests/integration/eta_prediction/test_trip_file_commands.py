"""`lab build eta_prediction` on real maps and trips, in this process, for every kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eta_prediction.offline.trip_files.trip_models import boosters
from infra.errors import LabError
from lab.cli import app
from tests.support.trip_files import grid, taxi_lines, write, write_dimacs, write_graphml, write_tlc

CSV = (
    *("--pickup-time", "pickup_datetime", "--duration", "trip_duration"),
    *("--from-lonlat", "pickup_longitude,pickup_latitude", "--to-lonlat", "dropoff_longitude,dropoff_latitude"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    lines = taxi_lines(1500)
    lines[5] = lines[5].rpartition(",")[0] + ",5"
    lines[8] += ",more"
    write(directory / "trips.csv", lines)
    write(directory / "trips.csv.gz", lines, packed=True)
    write_dimacs(directory / "map", grid())
    write_graphml(directory / "city.graphml", grid())
    write_tlc(directory / "tlc", 1500)
    return directory


@pytest.fixture(autouse=True)
def few_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosters, "MOST_ROUNDS", 5)
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))


def run(capfd: pytest.CaptureFixture[str], files: Path, *arguments: str) -> tuple[str, str]:
    """(standard output, standard error) of a build that succeeds. `@` stands for the directory of the files."""
    given = [argument.replace("@", str(files)) for argument in arguments]
    done = CliRunner().invoke(app, ["build", "eta_prediction", "--preset", "smoke", *given])
    assert done.exit_code == 0, done.exception
    out, err = capfd.readouterr()
    return out + done.stdout, err + done.stderr


@pytest.mark.parametrize(
    ("arguments", "described"),
    [
        (("--data", "taxi:@/trips.csv.gz", "--graph", "dimacs:@/map"), "snapped: 100.0% of the trips"),
        (
            ("--data", "taxi:@/trips.csv", "--graph", "graphml:@/city.graphml"),
            "map, refused, not for cars: footway: 10",
        ),
        (("--data", "taxi:@/trips.csv"), "no map: the great-circle distance"),
        (("--data", "csv:@/trips.csv", *CSV, "--split", "rows"), "a fifth of the rows, chosen by a hash"),
        (("--data", "tlc:@/tlc.parquet", "--zones", "@/tlc.geojson"), "tested on 300: the latest fifth"),
    ],
)
def test_build_prints_rows_notes_and_the_table(
    capfd: pytest.CaptureFixture[str], files: Path, arguments: tuple[str, ...], described: str
) -> None:
    out, err = run(capfd, files, *arguments)
    assert "1,500 rows: " in err
    assert described in err
    if "csv" in arguments[1]:
        assert "refused, not 8 fields: 1 (line 9)" in err
        assert "refused, shorter than 30 s: 1 (line 6)" in err
    for text in ("route and model", "LightGBM without the route", "corrected route"):
        assert text in out
    for text in ("mean absolute error", "median absolute error", "pinball loss", "trips within P10 to P90"):
        line = next(line for line in out.splitlines() if line.startswith(text))
        assert line.count(" to ") - text.count(" to ") == 3, "one interval per model"
    assert "results: " in err
    assert "predictions.npz" in err


@pytest.mark.parametrize(
    ("graph", "described"),
    [("dimacs:@/map", "distance in 0.1 m, time in 0.01 s"), ("graphml:@/city.graphml", "not for cars: footway: 10")],
)
def test_map_alone_is_described_and_compared_with_dijkstra(
    capfd: pytest.CaptureFixture[str], files: Path, graph: str, described: str
) -> None:
    out, err = run(capfd, files, "--graph", graph)
    assert "144 nodes and 528 edges, 211 km; strongly connected" in err
    assert "20 random ones cost the same" in err
    assert described in err
    assert "by Dijkstra" in out
    assert "route over great circle" in out


def test_same_build_is_reused_and_json_holds_its_facts(capfd: pytest.CaptureFixture[str], files: Path) -> None:
    arguments = ("--data", "taxi:@/trips.csv", "--graph", "dimacs:@/map")
    first, err = run(capfd, files, *arguments, "--quiet")
    assert "results" not in err
    again, err = run(capfd, files, *arguments)
    assert first == again
    assert "up to date, nothing was built again: " in err
    found = json.loads(run(capfd, files, *arguments, "--json")[0])
    assert found["read"]["reasons"]["shorter than 30 s"] == {"count": 1, "first_lines": [6]}
    assert found["map"]["snapped_share"] == 1.0
    assert (Path(found["place"]) / "report.md").exists()
    ids = {row["id"] for row in found["figures"]}
    wanted = {
        f"{name}_{kind}" for name in ("mae", "median_error", "pinball", "coverage") for kind in ("model", "route")
    }
    assert wanted <= ids


def test_truncated_trips_stop_the_build(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes((files / "trips.csv.gz").read_bytes()[:-2000])
    done = CliRunner().invoke(app, ["build", "eta_prediction", "--preset", "smoke", "--data", f"taxi:{path}"])
    assert isinstance(done.exception, LabError)
    assert "ends in the middle of its gzip stream" in str(done.exception)
    assert not list((tmp_path / "home").rglob("report.json"))
