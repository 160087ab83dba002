"""GraphML of OSMnx is read with all forms of its values; entities and other files are refused with a sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from eta_prediction.domain import ARTERIAL, LOCAL, MOTORWAY
from eta_prediction.offline.trip_files.maps.graphml import read_graphml
from eta_prediction.offline.trip_files.maps.tags import kmh_of, road_of
from eta_prediction.offline.trip_files.tally import Tally
from infra.errors import LabError, UsageError
from tests.support.trip_files import graphml, quiet

NODES = [
    {"id": "178877282", "y": "40.00", "x": "-86.00"},
    {"id": "2", "y": "40.00", "x": "-85.99", "highway": "traffic_signals"},
    {"id": "3", "y": "40.01", "x": "-85.99"},
]
RING = [
    {
        "source": "178877282",
        "target": "2",
        "length": "900",
        "maxspeed": "['30 mph', '50']",
        "highway": "['primary', 'residential']",
    },
    {"source": "2", "target": "3", "length": "1200.5", "highway": "residential"},
    {"source": "3", "target": "178877282", "length": "1400", "maxspeed": "DE:urban", "highway": "motorway_link"},
]


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("50", 50.0),
        ("30 mph", 48.28032),
        ("30mph", 48.28032),
        ("['30 mph', '50']", 49.14016),
        ("['30', '50', '70']", 50.0),
        ("50;30", 40.0),
        ("50 km/h", 50.0),
        ("DE:urban", 50.0),
        ("FR:rural", 90.0),
        ("DE:zone30", 30.0),
        ("DE:zone:30", 30.0),
        ("none", 130.0),
        ("walk", 7.0),
        ("GB:nsl_single", 96.56064),
        ("['signals', '60']", 60.0),
        ("signals", None),
        ("", None),
        ("nan", None),
        ("900", None),
        ("0", None),
        ("-50", None),
        ("[", None),
        ("['30 mph', ", 48.28032),
        ("{'a': 1}", None),
        ("[[['30']]]", None),
    ],
)
def test_speed_limits_of_all_forms_become_kmh(text: str, kmh: float | None) -> None:
    assert kmh_of(text) == (None if kmh is None else pytest.approx(kmh))


def test_class_of_road_is_that_of_the_fastest_value() -> None:
    found = [road_of(text) for text in ("motorway", "['residential', 'secondary']", "living_street", "brand_new_value")]
    assert [road[0] for road in found if road] == [MOTORWAY, ARTERIAL, LOCAL, LOCAL]
    assert road_of("footway") is None
    assert road_of("['footway', 'service']") is not None


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_streets_have_metres_seconds_and_classes(tmp_path: Path, packed: bool) -> None:
    text = graphml(NODES, RING).encode()
    path, tally = tmp_path / "streets.graphml", Tally()
    path.write_bytes(gzip.compress(text) if packed else text)
    found = read_graphml(path, quiet, tally)
    assert found.length_m.tolist() == [900.0, 1200.5, 1400.0]
    assert found.free_s.tolist() == pytest.approx([900 / (49.14016 / 3.6), 1200.5 / (30 / 3.6), 1400 / (50 / 3.6)])
    assert found.road.tolist() == [ARTERIAL, LOCAL, MOTORWAY]
    assert found.is_signal.tolist() == [False, True, False]
    assert found.facts["replaced"] == {"no maxspeed": 1}
    assert (tally.lines, tally.good) == (6, 6)


def test_unusable_nodes_and_edges_are_counted_by_reason(tmp_path: Path) -> None:
    nodes = [*NODES, {"id": "4", "y": "40.02"}, {"id": "5", "x": "no", "y": "1"}, {"id": "2", "x": "1", "y": "1"}]
    edges = [
        *RING * 2,
        {"source": "2", "target": "4", "length": "5"},
        {"source": "2", "target": "99", "length": "5"},
        {"source": "2", "target": "2", "length": "5"},
        {"source": "2", "target": "3", "length": "5", "highway": "footway"},
        {"source": "2", "target": "3", "length": "999999999"},
    ]
    path, tally = tmp_path / "streets.graphml", Tally()
    path.write_text(graphml(nodes, edges))
    found = read_graphml(path, quiet, tally)
    assert {reason: refused.count for reason, refused in tally.refused.items()} == {
        "a node without a place on earth": 2,
        "a node that is there twice": 1,
        "an edge of a node without a place": 2,
        "an edge from a node to itself": 1,
        "not for cars: footway": 1,
        "an edge longer than 200 km": 1,
    }
    assert (tally.lines, tally.good, found.topology.edges) == (17, 9, 6)


def test_missing_and_absurd_lengths_become_the_straight_line(tmp_path: Path) -> None:
    edges = [{**edge, "length": length} for edge, length in zip(RING, ("", "3", "nan"), strict=True)]
    path = tmp_path / "streets.graphml"
    path.write_text(graphml(NODES, edges))
    found = read_graphml(path, quiet, Tally())
    assert found.length_m.tolist() == pytest.approx([852, 1112, 1402], rel=0.01)
    assert found.facts["replaced"] == {"no maxspeed": 1, "no length": 1, "length absurd": 2}


def test_undirected_streets_go_both_ways_unless_they_are_oneway(tmp_path: Path) -> None:
    edges = [{**edge, "oneway": oneway} for edge, oneway in zip(RING, ("False", "True", "no"), strict=True)]
    path = tmp_path / "streets.graphml"
    path.write_text(graphml(NODES, edges, directed=False))
    graph = read_graphml(path, quiet, Tally()).topology
    assert set(zip(graph.tail.tolist(), graph.head.tolist(), strict=True)) == {(0, 1), (1, 0), (1, 2), (2, 0), (0, 2)}


def test_projected_graph_is_read_by_its_degrees_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "streets.graphml"
    projected = [{**node, "x": "585000.1", "y": "4428000.2", "lon": node["x"], "lat": node["y"]} for node in NODES]
    path.write_text(graphml(projected, RING))
    assert read_graphml(path, quiet, Tally()).topology.lon.tolist() == [-86.0, -85.99, -85.99]
    path.write_text(graphml([{k: v for k, v in node.items() if k not in ("lon", "lat")} for node in projected], RING))
    with pytest.raises(UsageError, match="is projected") as caught:
        read_graphml(path, quiet, Tally())
    assert "EPSG:4326" in caught.value.hint


BOMB = '<!DOCTYPE g [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
OUTSIDE = '<!DOCTYPE g [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"<?xml version='1.0'?>{BOMB}<graphml><graph><node id='&b;'/></graph></graphml>", "document type"),
        (f"<?xml version='1.0'?>{OUTSIDE}<graphml><graph><node id='&x;'/></graph></graphml>", "document type"),
        ("<osm version='0.6'><node id='1'/></osm>", "root element is 'osm'"),
        ("<graphml></graphml>", "no element 'graph'"),
        ("<graphml><graph>", "not well-formed"),
        ("just text", "not well-formed"),
        ("{}", "not well-formed"),
        ("<graphml><graph></graph></graphml>", "no node with a place"),
        (graphml(NODES, []), "usable edges"),
        (graphml(NODES, [{"source": "8", "target": "9"}] * 9), "are unusable"),
        (graphml(NODES, RING[:2]), "no two nodes"),
    ],
)
def test_file_without_streets_is_refused_with_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "streets.graphml"
    path.write_text(text)
    with pytest.raises(LabError, match=message):
        read_graphml(path, quiet, Tally())
