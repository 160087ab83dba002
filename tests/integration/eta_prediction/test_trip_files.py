"""A build from a real map and trips recovers planted factors and is no worse than LightGBM without the route."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eta_prediction.offline.trip_files import build as build_module
from eta_prediction.offline.trip_files.build import build
from eta_prediction.offline.trip_files.trip_models import boosters
from infra.build.real_files import RealBuild
from infra.build.runner import only_build
from infra.build.trip_files import TripFiles
from infra.errors import Busy, LabError, UsageError
from infra.evaluation.figures import Figure, read_figures
from infra.settings import Settings
from tests.support.trip_files import grid, quiet, taxi_lines, write, write_dimacs


def figures(built: RealBuild) -> dict[str, Figure]:
    return {figure.id: figure for figure in built.figures}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    lines = taxi_lines(12_000)
    lines[5] = lines[5].rpartition(",")[0] + ",5"
    write(directory / "trips.csv.gz", lines, packed=True)
    write_dimacs(directory / "map", grid(), packed=True)
    return directory


@pytest.mark.parametrize("how", ["time", "rows"])
def test_build_with_map_recovers_the_planted_route_and_beats_the_model_without_it(files: Path, how: str) -> None:
    source = TripFiles.of(f"taxi:{files / 'trips.csv.gz'}", f"dimacs:{files / 'map'}", split=how)
    built = build(source, Settings(home=files / "home", preset="smoke"), quiet)
    found = figures(built)
    fitted = built.facts["training"]["correction"]
    # a third of the trips is 30% slower at places or hours that the line does not know
    assert fitted["factor"] == pytest.approx(1.65, abs=0.15)
    assert fitted["fixed_s"] == pytest.approx(120, abs=45)
    assert found["mae_over_plain"].high < 1.0
    assert found["mae_over_route"].high < 0.9
    # the noise of a trip is 15%: the best possible error is 12% of the mean
    with np.load(built.place / "predictions.npz") as predictions:
        seconds = predictions["seconds"]
        assert found["mae_model"].value < 1.06 * 0.15 * np.sqrt(2 / np.pi) * seconds.mean()
        assert found["mae_model"].value == pytest.approx(np.abs(predictions["p50"] - seconds).mean())
        assert (predictions["p10"] <= predictions["p50"]).all()
        assert (predictions["p50"] <= predictions["p90"]).all()
        assert not set(predictions["line"]) & set(predictions["train_line"])
    assert found["coverage_model"].value == pytest.approx(0.8, abs=0.05)
    assert found["pinball_model"].value < found["pinball_plain"].value
    assert built.facts["read"]["reasons"] == {"shorter than 30 s": {"count": 1, "first_lines": [6]}}
    assert built.facts["map"]["engine"] in ("cch", "dijkstra")
    assert read_figures(built.place) == built.figures
    assert "| mean absolute error | " in (built.place / "report.md").read_text()


def test_build_without_map_is_no_worse_than_lightgbm(tmp_path: Path) -> None:
    path = write(tmp_path / "trips.csv", taxi_lines(12_000, seed=3))
    settings = Settings(home=tmp_path / "home", preset="smoke")
    built = build(TripFiles.of(f"taxi:{path}"), settings, quiet)
    assert figures(built)["mae_over_plain"].value < 1.0
    assert any("no map" in note for note in built.facts["notes"])
    again = build(TripFiles.of(f"taxi:{path}"), settings, quiet)
    assert (built.found, again.found) == (False, True)
    assert (again.figures, again.facts) == (built.figures, json.loads(json.dumps(built.facts)))


def test_map_alone_is_read_and_its_routes_are_checked(files: Path) -> None:
    built = build(TripFiles.of(graph=f"dimacs:{files / 'map'}"), Settings(home=files / "home", preset="smoke"), quiet)
    assert built.facts["map"]["nodes"] == 144
    assert 1.0 <= figures(built)["detour"].value <= np.sqrt(2) + 0.01


def test_failed_builds_leave_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosters, "MOST_ROUNDS", 3)
    path = write(tmp_path / "trips.csv", taxi_lines(400))
    source, settings = TripFiles.of(f"taxi:{path}"), Settings(home=tmp_path / "home", preset="smoke")
    with only_build(settings.design_root("eta_prediction") / "real_trips"), pytest.raises(Busy, match="another"):
        build(source, settings, quiet)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(build_module, "write_figures", full)
        with pytest.raises(LabError, match="is full"):
            build(source, settings, quiet)
    assert not build(source, settings, quiet).found


@pytest.mark.parametrize(
    ("data", "graph", "message"),
    [
        ("taxi:/no/such/file", None, "there is no file"),
        (None, "dimacs:/no/such/directory", "there is no directory"),
        (None, "graphml:/no/such/file", "there is no file"),
    ],
)
def test_missing_files_are_refused_with_a_sentence(
    tmp_path: Path, data: str | None, graph: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(TripFiles.of(data, graph), Settings(home=tmp_path, preset="smoke"), quiet)
