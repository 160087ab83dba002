"""A streaming parser of GraphML.

A document type declaration is refused, since entities can make a small file expand without limit or read other files.
"""

from __future__ import annotations

from pathlib import Path
from xml.parsers import expat

from eta_prediction.offline.trip_files.rows import opened
from infra.errors import UsageError
from infra.progress import Progress

BLOCK = 1 << 20
EXPECTED = "graphml:FILE takes a street network that ox.save_graphml wrote, plain or gzip"
KEPT = frozenset(("x", "y", "lon", "lat", "length", "maxspeed", "speed_kph", "highway", "oneway"))


class GraphmlParser:
    """Collects the nodes and edges of a GraphML file with the attributes in `KEPT`, and the lines where they begin."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: list[tuple[int, str, dict[str, str]]] = []
        self.edges: list[tuple[int, str, str, dict[str, str]]] = []
        self.is_directed = True
        self._names: dict[str, str] = {}
        self._data: dict[str, str] | None = None
        self._text: list[str] | None = None
        self._key, self._is_graph, self._has_root = "", False, False
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.StartDoctypeDeclHandler = self._refuse

    def parse(self, report: Progress) -> None:
        """Parse the file. Raises `UsageError` if it is not GraphML."""
        size = max(self.path.stat().st_size, 1)
        with opened(self.path) as (content, raw):
            while chunk := content.read(BLOCK):
                self._feed(chunk, last=False)
                report(min(raw.tell() / size, 1.0), f"{len(self.edges):,} edges")
            self._feed(b"", last=True)
        if not self._is_graph:
            raise UsageError(f"{self.path} is not GraphML: it has no element 'graph' in a 'graphml'", hint=EXPECTED)

    def parse_head(self) -> None:
        """Parse the first block only. Raises `UsageError` if it does not begin a GraphML file."""
        with opened(self.path) as (content, _):
            head = content.read(BLOCK)
            self._feed(head, last=not content.read(1))

    def _feed(self, chunk: bytes, *, last: bool) -> None:
        try:
            self._expat.Parse(chunk, last)
        except (expat.ExpatError, LookupError, ValueError) as exc:  # the latter two for an unknown encoding
            raise UsageError(
                f"{self.path} is not well-formed XML: {exc}",
                hint=EXPECTED,
            ) from None

    def _refuse(self, *_: object) -> None:
        raise UsageError(
            f"{self.path} declares a document type, which can define entities; such XML is refused",
            hint="GraphML of OSMnx has no DOCTYPE",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if not self._has_root:
            self._has_root = True
            if name != "graphml":
                raise UsageError(f"{self.path} is not GraphML: its root element is '{name}'", hint=EXPECTED)
        if name == "key":
            self._names[attributes.get("id", "")] = attributes.get("attr.name", attributes.get("id", ""))
        elif name == "graph":
            self._is_graph = True
            self.is_directed = attributes.get("edgedefault", "directed") != "undirected"
        elif name == "node":
            self._data = {}
            self.nodes.append((self._expat.CurrentLineNumber, attributes.get("id", ""), self._data))
        elif name == "edge":
            self._data = {}
            ends = attributes.get("source", ""), attributes.get("target", "")
            self.edges.append((self._expat.CurrentLineNumber, *ends, self._data))
        elif name == "data" and self._data is not None:
            self._key = self._names.get(attributes.get("key", ""), "")
            self._text = [] if self._key in KEPT else None

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name == "data" and self._text is not None and self._data is not None:
            self._data[self._key] = "".join(self._text)
            self._text = None
        elif name in ("node", "edge"):
            self._data = None
