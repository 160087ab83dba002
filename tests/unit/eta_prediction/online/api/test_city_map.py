"""The map: well-formed SVG that loads nothing, with route, congestion and incidents where they are."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.domain import ARTERIAL, LOCAL, Ints
from eta_prediction.online.api.city_map import COLOURS, ROUTE, Drawn, draw
from eta_prediction.world.city import make_city
from infra.routing.dijkstra import DijkstraEngine

GRAPH = make_city(SMOKE.world.city, SMOKE.world.seed)
NONE = np.zeros(0, np.int64)
SVG = "{http://www.w3.org/2000/svg}"


def route(source: int, target: int) -> Ints:
    path = DijkstraEngine(GRAPH.topology, GRAPH.free_s).path(source, target)
    assert path is not None
    return path.edges


def picture(delay: float = 1.0, **changes: object) -> ET.Element:
    edges = route(10, 900)
    values = {"graph": GRAPH, "delay": np.full(GRAPH.edges, delay), "routes": [edges], "origin": 10}
    values |= {"destination": 900, "incidents": NONE, "title": "7 min", "note": ""}
    return ET.fromstring(draw(Drawn(**values | changes)))  # type: ignore[arg-type]


def strokes(svg: ET.Element) -> list[str]:
    return [path.get("stroke", "") for path in svg.iter(f"{SVG}path") if path.get("stroke-width") != "5"]


def test_map_draws_every_edge_of_the_route() -> None:
    drawn = [path.get("d", "") for path in picture().iter(f"{SVG}path") if path.get("stroke") == ROUTE]
    assert len(drawn) == 1
    assert drawn[0].count("L") == len(route(10, 900))


@pytest.mark.parametrize(
    ("delay", "colour"), [(1.0, COLOURS[0]), (1.3, COLOURS[1]), (1.5, COLOURS[2]), (3.0, COLOURS[3])]
)
def test_streets_have_the_colour_of_their_delay(delay: float, colour: str) -> None:
    assert set(strokes(picture(delay))) & set(COLOURS) == {colour}


def test_reported_incident_near_the_route_is_marked() -> None:
    titles = [title.text for title in picture(incidents=route(10, 900)[3:4]).iter(f"{SVG}title")]
    assert titles == ["reported incident"]


def test_same_origin_and_destination_gives_a_map_without_a_line() -> None:
    assert ROUTE not in strokes(picture(routes=[NONE], destination=10))


def test_map_loads_nothing_and_escapes_its_texts() -> None:
    svg = draw(Drawn(GRAPH, np.ones(GRAPH.edges), [NONE], 1, 2, NONE, "<script>alert(1)</script>", 'a "b" & c'))
    assert "<script" not in svg
    assert "href" not in svg
    assert "url(http" not in svg
    assert "a &quot;b&quot; &amp; c" in svg
    ET.fromstring(svg)


def test_wide_view_leaves_out_local_streets(monkeypatch: pytest.MonkeyPatch) -> None:
    def widths() -> set[str | None]:
        return {path.get("stroke-width") for path in picture().iter(f"{SVG}path")}

    from eta_prediction.online.api import city_map

    local, arterial = (str(city_map.STROKE[road]) for road in (LOCAL, ARTERIAL))
    assert local in widths()
    monkeypatch.setattr(city_map, "MOST_LOCAL", 10)
    assert local not in widths()
    assert arterial in widths()
