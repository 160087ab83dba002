"""The map of one answer as SVG: streets in the colours of their congestion, incidents, the route and its ends.

The map shows the surroundings of the route. A wide view shows large roads only, because local streets would be a grey
surface of many thousand lines. The picture loads nothing and runs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import ARTERIAL, LOCAL, MOTORWAY, Array, Bools, Ints, RoadGraph

WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 900, 380, 900
MARGIN = 0.12
"""free space around the route, as a share of its longer side"""
MOST_LOCAL = 9_000
"""local streets are drawn if the view has at most this many"""
BOUNDS = (1.15, 1.4, 1.8)
"""time over free-flow time at which a street gets the next colour"""
COLOURS = ("#b9c4cc", "#f2c14e", "#f08a3c", "#d6453d")
NAMES = ("free", "busy", "slow", "jammed")
STROKE = {LOCAL: 1.0, ARTERIAL: 2.2, MOTORWAY: 3.6}
ROUTE, OTHER, PAPER, INK = "#1f5fd1", "#8fb0ea", "#fbfaf7", "#243038"


@dataclass(frozen=True)
class Drawn:
    """What a map shows. `delay` float64[edges] is time over free-flow time; `routes` are the edges of each route, the
    chosen one first; `incidents` int64[n] are edges. `title` and `note` are two lines of text."""

    graph: RoadGraph
    delay: Array
    routes: Sequence[Ints]
    origin: int
    destination: int
    incidents: Ints
    title: str
    note: str


def draw(drawn: Drawn) -> str:
    """The map as a complete SVG document."""
    view = _View.around(drawn)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {view.height + 66}" role="img" '
        f'font-family="system-ui, sans-serif" aria-label="{_text(drawn.title)}">',
        f'<rect width="{WIDTH}" height="{view.height + 66}" fill="{PAPER}"/>',
        f'<clipPath id="view"><rect width="{WIDTH}" height="{view.height}"/></clipPath><g clip-path="url(#view)" '
        'fill="none" stroke-linecap="round" stroke-linejoin="round">',
        *_streets(drawn, view),
        *(_line(drawn.graph, view, edges, OTHER, 5.0) for edges in drawn.routes[:0:-1]),
        *(_line(drawn.graph, view, edges, ROUTE, 6.0) for edges in drawn.routes[:1]),
        *_marks(drawn, view),
        "</g>",
        *_legend(drawn, view.height),
        "</svg>",
    ]
    return "\n".join(parts)


@dataclass(frozen=True)
class _View:
    """Places nodes in the picture: `x`, `y` float64[nodes] in its units; `height` is that of the map."""

    x: Array
    y: Array
    height: int
    scale_m: float
    """metres per unit"""

    @classmethod
    def around(cls, drawn: Drawn) -> _View:
        graph = drawn.graph
        east = np.cos(np.radians(graph.lat.mean()))
        lon, lat = graph.lon * east, graph.lat
        ends = [np.array([drawn.origin, drawn.destination])]
        nodes = np.concatenate(ends + [graph.head[edges] for edges in drawn.routes])
        wide, high = (float(np.ptp(values[nodes])) for values in (lon, lat))
        free = MARGIN * max(wide, high, 0.01)
        wide, high = wide + 2 * free, high + 2 * free
        height = int(np.clip(WIDTH * high / wide, LEAST_HEIGHT, MOST_HEIGHT))
        scale = max(wide / WIDTH, high / height)
        middle = [float(values[nodes].min() + values[nodes].max()) / 2 for values in (lon, lat)]
        x, y = WIDTH / 2 + (lon - middle[0]) / scale, height / 2 - (lat - middle[1]) / scale
        return cls(x, y, height, scale * 111_320)

    def shows(self, nodes: Ints) -> Bools:
        x, y = self.x[nodes], self.y[nodes]
        found: Bools = (x > -20) & (x < WIDTH + 20) & (y > -20) & (y < self.height + 20)
        return found

    def points(self, nodes: Ints) -> list[str]:
        return [f"{x:.1f} {y:.1f}" for x, y in zip(self.x[nodes].tolist(), self.y[nodes].tolist(), strict=True)]


def _streets(drawn: Drawn, view: _View) -> list[str]:
    graph, level = drawn.graph, np.searchsorted(BOUNDS, drawn.delay)
    seen = view.shows(graph.tail) | view.shows(graph.head)
    is_local = graph.road == LOCAL
    if (seen & is_local).sum() > MOST_LOCAL:
        seen &= ~is_local
    found = []
    for road, width in STROKE.items():
        for number, colour in enumerate(COLOURS):
            edges = np.flatnonzero(seen & (graph.road == road) & (level == number))
            if len(edges):
                ends = zip(view.points(graph.tail[edges]), view.points(graph.head[edges]), strict=True)
                path = "".join(f"M{one}L{other}" for one, other in ends)
                found.append(f'<path d="{path}" stroke="{colour}" stroke-width="{width}"/>')
    return found


def _line(graph: RoadGraph, view: _View, edges: Ints, colour: str, width: float) -> str:
    if not len(edges):
        return ""
    path = "L".join(view.points(np.r_[graph.tail[edges[:1]], graph.head[edges]]))
    return f'<path d="M{path}" stroke="{colour}" stroke-width="{width}" stroke-opacity="0.85"/>'


def _marks(drawn: Drawn, view: _View) -> list[str]:
    found = []
    at = drawn.graph.head[drawn.incidents]
    for node in at[view.shows(at)].tolist():
        x, y = view.x[node], view.y[node]
        found.append(
            f'<path d="M{x:.1f} {y - 8:.1f}l8 14h-16z" fill="#d6453d" stroke="#fff" stroke-width="1.5">'
            "<title>reported incident</title></path>"
        )
    for node, name, colour in ((drawn.origin, "from", "#1b8a4b"), (drawn.destination, "to", INK)):
        x, y = view.x[node], view.y[node]
        found.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="{colour}" stroke="#fff" stroke-width="2.5"/>'
            f'<text x="{x + 12:.1f}" y="{y - 8:.1f}" font-size="15" font-weight="600" fill="{INK}" stroke="{PAPER}" '
            f'stroke-width="4" paint-order="stroke">{name}</text>'
        )
    return found


def _legend(drawn: Drawn, top: int) -> list[str]:
    found = [
        f'<text x="14" y="{top + 26}" font-size="17" font-weight="600" fill="{INK}">{_text(drawn.title)}</text>',
        f'<text x="14" y="{top + 50}" font-size="13" fill="{INK}">{_text(drawn.note)}</text>',
    ]
    for place, (name, colour) in enumerate(zip(NAMES, COLOURS, strict=True)):
        x = WIDTH - 350 + 84 * place
        found.append(
            f'<path d="M{x} {top + 21}h22" stroke="{colour}" stroke-width="5"/>'
            f'<text x="{x + 28}" y="{top + 26}" font-size="13" fill="{INK}">{name}</text>'
        )
    return found


def _text(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
