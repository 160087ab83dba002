"""DIMACS maps are read with the right units; unusable rows are counted and other files refused with a sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from eta_prediction.offline.trip_files.maps.dimacs import read_dimacs
from eta_prediction.offline.trip_files.maps.dimacs_files import kind_of
from eta_prediction.offline.trip_files.tally import Tally
from infra.errors import LabError, UsageError
from tests.support.trip_files import grid, quiet, write, write_dimacs


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_map_of_distances_and_times_has_metres_and_seconds(tmp_path: Path, packed: bool) -> None:
    true, tally = grid(), Tally()
    found = read_dimacs(write_dimacs(tmp_path, true, packed=packed), quiet, tally)
    assert (found.topology.nodes, found.topology.edges) == (true.topology.nodes, true.topology.edges)
    np.testing.assert_allclose(found.length_m, true.length_m, rtol=0.001)
    np.testing.assert_allclose(found.free_s, true.free_s, rtol=0.001)
    np.testing.assert_allclose(found.topology.lon, true.topology.lon, atol=1e-6)
    assert (tally.bad, found.facts["unit_of_distance"], found.facts["unit_of_time"]) == (0, "0.1 m", "0.01 s")


@pytest.mark.parametrize(("unit", "per_metre"), [("1 m", 1.0), ("0.1 m", 10.0), ("1 ft", 3.2808), ("1 cm", 100.0)])
def test_unit_of_distances_follows_from_the_coordinates(tmp_path: Path, unit: str, per_metre: float) -> None:
    true = grid(4)
    write_dimacs(tmp_path, true, kinds="d")
    arcs = [
        f"a {t + 1} {h + 1} {round(400 * per_metre)}"
        for t, h in zip(true.topology.tail, true.topology.head, strict=True)
    ]
    write(tmp_path / "city-d.gr", [f"p sp 16 {len(arcs)}", *arcs])
    found = read_dimacs(tmp_path, quiet, Tally())
    assert found.facts["unit_of_distance"] == unit
    np.testing.assert_allclose(found.length_m, 400, rtol=0.01)


def test_weights_without_a_telling_name_are_times_unless_they_follow_the_straight_line(tmp_path: Path) -> None:
    true, rng = grid(), np.random.default_rng(0)
    uneven = true.__class__(
        **{**vars(true), "free_s": true.free_s * rng.choice([0.4, 0.7, 1.0, 1.6], len(true.free_s))}
    )
    for kind, source in (("d", true), ("t", uneven)):
        directory = write_dimacs(tmp_path / kind, source, kinds=kind)
        (directory / f"city-{kind}.gr").rename(directory / "city.gr")
        found = read_dimacs(directory, quiet, Tally())
        assert found.facts["weights"] == ["distance" if kind == "d" else "time"]
        if kind == "t":
            np.testing.assert_allclose(found.free_s, uneven.free_s, rtol=0.01)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("USA-road-d.NY.gr.gz", "distance"),
        ("USA-road-t.NY.gr", "time"),
        ("city-d.gr", "distance"),
        ("travel_time.gr", "time"),
        ("distances.gr", "distance"),
        ("detroit.gr", "unknown"),
    ],
)
def test_kind_of_weights_follows_from_the_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_unusable_rows_are_counted_by_reason(tmp_path: Path) -> None:
    write_dimacs(tmp_path, grid(6), kinds="d")
    path = tmp_path / "city-d.gr"
    lines = path.read_text().splitlines()
    lines[2:2] = ["a 1 999 5", "a 3 3 7", "a 1 2 0", "a 1 x 5", "a 1 2", "hello", "a 1 2 99999999999999999999"]
    write(path, lines)
    tally = Tally()
    found = read_dimacs(tmp_path, quiet, tally)
    assert {reason: refused.first for reason, refused in tally.refused.items()} == {
        "an arc of a node without coordinates": [3],
        "an arc from a node to itself": [4],
        "an arc with a weight that is not positive": [5],
        "a line of city-d.gr that is not made of three whole numbers": [6, 7, 9],
        "a line of city-d.gr of an unknown kind": [8],
    }
    assert tally.lines == tally.good + tally.bad
    assert found.topology.edges == grid(6).topology.edges


def test_only_the_largest_strongly_connected_part_remains(tmp_path: Path) -> None:
    true = grid(5)
    write_dimacs(tmp_path, true, kinds="d")
    dead_end = ["p aux sp co 27", *(tmp_path / "city.co").read_text().splitlines()[1:]]
    write(tmp_path / "city.co", [*dead_end, "v 26 10030000 50000000", "v 27 10031000 50000000"])
    arcs = (tmp_path / "city-d.gr").read_text().splitlines()[2:]
    write(tmp_path / "city-d.gr", [f"p sp 27 {len(arcs) + 2}", *arcs, "a 25 26 4000", "a 26 27 700"])
    found = read_dimacs(tmp_path, quiet, Tally())
    assert (found.topology.nodes, found.topology.edges) == (25, true.topology.edges)
    assert found.facts["connected_share_of_nodes"] == pytest.approx(25 / 27, abs=1e-4)


def test_truncated_gzip_is_refused_with_a_hint(tmp_path: Path) -> None:
    write_dimacs(tmp_path, grid(), packed=True)
    path = tmp_path / "city-d.gr.gz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(LabError, match="gzip stream") as caught:
        read_dimacs(tmp_path, quiet, Tally())
    assert "incomplete" in caught.value.hint


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "one .co file"),
        ({"a.gr": "p sp 1 1\na 1 1 1\n"}, "one .co file"),
        ({"a.co": "v 1 1 1\n", "b.co": "v 1 1 1\n", "a.gr": "a 1 1 1\n"}, "one .co file"),
        ({"a.co": "id,x,y\n1,2,3\n", "a.gr": "p sp 1 1\na 1 1 1\n"}, "not a file of the 9th DIMACS challenge"),
        ({"a.co": "p aux sp co 1\nv 1 999999999 5\n", "a.gr": "p sp 1 1\na 1 1 1\n"}, "no node with a place on earth"),
        ({"a.co": "p aux sp co 1\nv 1 10 10\n", "a.gr": "\x00\x01\x02"}, "not a file of the 9th DIMACS challenge"),
        ({"a.co": "p aux sp co 1\nv 1 10 10\n", "a.gr": "p sp 1 1\na 1 1 1\n"}, "rows of .* are unusable|usable nodes"),
        ({"a.co": "v", "a1.gr": "a", "a2.gr": "a"}, "two .gr files"),
        ({"a.co": "", "a-d.gr": "p sp 1 1\na 1 1 1\n"}, "is empty"),
    ],
)
def test_directory_without_a_map_is_refused_with_a_sentence(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(LabError, match=message):
        read_dimacs(tmp_path, quiet, Tally())
    with pytest.raises(UsageError, match="is not a directory"):
        read_dimacs(tmp_path / "none", quiet, Tally())


def test_gzip_of_another_format_is_refused(tmp_path: Path) -> None:
    write_dimacs(tmp_path, grid(), kinds="d")
    (tmp_path / "city.co").write_bytes(gzip.compress(b"PK not a map\n" * 50))
    with pytest.raises(UsageError, match="9th DIMACS challenge"):
        read_dimacs(tmp_path, quiet, Tally())
