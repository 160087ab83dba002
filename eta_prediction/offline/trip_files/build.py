"""The build from real files: read, snap, route, split, learn, measure, and write the results to a directory of its own.

A build with the same files, options and code reuses the existing results. The build does not change any data of the
generated world. With a map alone, it reads the map and checks its routes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.offline.trip_files.check_map import check_routes, tables_of
from eta_prediction.offline.trip_files.maps.dimacs import read_dimacs
from eta_prediction.offline.trip_files.maps.dimacs_files import find_files
from eta_prediction.offline.trip_files.maps.graphml import read_graphml
from eta_prediction.offline.trip_files.maps.road_map import RoadMap
from eta_prediction.offline.trip_files.measure import blocks_of, figures_of, table_of
from eta_prediction.offline.trip_files.notes import notes_of
from eta_prediction.offline.trip_files.route import great_circles, routed
from eta_prediction.offline.trip_files.split import split
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trip_models.learn import Learned, learn
from eta_prediction.offline.trip_files.trips import Trips, read_trips
from infra.build.real_files import RealBuild, Table
from infra.build.runner import AGAIN, check_free_space, only_build
from infra.build.step_code import code_digest
from infra.build.trip_files import TripFiles
from infra.evaluation.figures import Figure, read_figures, write_figures
from infra.files import disk_errors
from infra.progress import Progress
from infra.settings import Settings

FOLDER, FACTS, TABLE = "real_trips", "report.json", "report.md"
SEED = 11


def build(source: TripFiles, settings: Settings, report: Progress) -> RealBuild:
    """Build, or return the results of an earlier equal build. Raises the errors of reading, `UsageError` if another
    build is running, and `LabError` if the disk is full."""
    source.check()
    place = settings.design_root("eta_prediction") / FOLDER / digest_of(source)
    if (place / FACTS).exists():
        figures, facts = read_figures(place), json.loads((place / FACTS).read_text())
        return RealBuild(place, figures, facts, found=True, tables=_tables(figures, facts))
    work = place.with_suffix(".part")  # not `.partial`, which the start of a build deletes
    with disk_errors(settings.home, AGAIN), only_build(place.parent):
        check_free_space(place.parent)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        figures, facts = _make(source, work, report)
        tables = _tables(figures, facts)
        write_figures(work, figures)
        (work / TABLE).write_text("\n".join(table.markdown() for table in tables))
        (work / FACTS).write_text(json.dumps(facts, indent=2))
        work.replace(place)
    return RealBuild(place, figures, facts, found=False, tables=tables)


def digest_of(source: TripFiles) -> str:
    """The digest that identifies a build: of the contents of the files, the options, and the code."""
    files = [path for path in (source.path, source.zones) if path is not None]
    if source.graph is not None and source.graph_format == "dimacs":
        coordinates, arcs = find_files(source.graph)
        files += [coordinates, *arcs.values()]
    elif source.graph is not None:
        files.append(source.graph)
    contents = [_content(path) for path in files]
    options = {**asdict(source), "path": source.path is not None, "zones": None, "graph": None}
    # the kind of a DIMACS file follows from its name
    names = [path.name for path in files]
    parts = [options, contents, names, code_digest(f"{__name__}:build"), SEED]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_map(source: TripFiles, report: Progress) -> tuple[RoadMap, Tally]:
    """The map of the options. Raises `UsageError` if the file is not what it claims."""
    assert source.graph is not None
    tally = Tally()
    reader = read_dimacs if source.graph_format == "dimacs" else read_graphml
    return reader(source.graph, report, tally), tally


def _make(source: TripFiles, work: Path, report: Progress) -> tuple[list[Figure], dict[str, Any]]:
    def part(first: float, last: float) -> Progress:
        return lambda share, text: report(first + (last - first) * min(share, 1.0), text)

    facts: dict[str, Any] = {
        "file": source.path.name if source.path else None,
        "options": {"format": source.format, "split": source.split, "graph": source.graph_format},
    }
    road_map = None
    if source.graph is not None:
        road_map, tally = read_map(source, part(0.0, 0.1))
        facts["map"] = {**road_map.facts, "read": tally.rows()}
    if source.path is None:
        assert road_map is not None
        figures, routing = check_routes(road_map, part(0.1, 1.0))
        facts["map"] |= routing
        return figures, {**facts, "read": facts["map"]["read"], "notes": notes_of(facts)}
    tally = Tally()
    trips = read_trips(source, part(0.1, 0.2), tally)
    if road_map is None:
        sums = great_circles(trips)
    else:
        trips, sums, routing = routed(trips, road_map, part(0.2, 0.45), tally)
        facts["map"] |= routing
    parts = split(trips, source.split)
    learned = learn(trips, sums, parts, SEED, part(0.45, 0.95))
    report(0.95, "intervals")
    test = trips.take(parts.test)
    figures = figures_of(test, learned)
    facts |= {
        "read": tally.rows(),
        "rows": {"train": len(parts.train), "test": len(parts.test)},
        "resampled": blocks_of(test)[1],
        "training": learned.facts,
    }
    facts["notes"] = notes_of(facts)
    _write(work, test, learned, sums.free_s[parts.test], trips.line[parts.train])
    report(1.0, "done")
    return figures, facts


def _tables(figures: list[Figure], facts: dict[str, Any]) -> tuple[Table, ...]:
    return (table_of(figures),) if "training" in facts else tables_of(figures, facts["map"])


def _write(work: Path, test: Trips, learned: Learned, free_s: Array, train_line: Ints) -> None:
    """The predictions by line of the file, for readers who compare a model of their own on the same split."""
    np.savez(
        work / "predictions.npz",
        line=test.line,
        seconds=test.seconds,
        p10=learned.model[:, 0],
        p50=learned.model[:, 1],
        p90=learned.model[:, 2],
        plain=learned.plain[:, 1],
        corrected_route=learned.route[:, 1],
        route_free=free_s,
        train_line=train_line,
    )


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
