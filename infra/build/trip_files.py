"""The user's own map and trip file, as the options of `lab build` name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infra.build.real_files import size_of
from infra.errors import UsageError

GRAPHS = ("dimacs", "graphml")
FORMATS = ("taxi", "tlc", "csv")
SPLITS = ("time", "rows")
ROLES = ("pickup_time", "duration", "from_lon", "from_lat", "to_lon", "to_lat")


@dataclass(frozen=True)
class TripFiles:
    """What to build from: a map, a trip file, or both. `graph_format` is one of `GRAPHS`, `format` one of `FORMATS`.

    `columns` are (role, column name) of a CSV. `split` is `time` (the latest fifth is tested) or `rows`
    (a fifth of the rows, chosen by a hash of the line number).
    """

    OPTIONS: ClassVar[tuple[str, ...]] = (
        *("data", "graph", "zones", "pickup_time", "duration", "from_lonlat", "to_lonlat", "split"),
    )
    USAGE: ClassVar[str] = (
        "--graph dimacs:DIR or graphml:FILE, and --data taxi:FILE, tlc:FILE (with --zones) or csv:FILE (with "
        "--pickup-time, --duration, --from-lonlat and --to-lonlat)"
    )

    format: str | None = None
    path: Path | None = None
    graph_format: str | None = None
    graph: Path | None = None
    zones: Path | None = None
    columns: tuple[tuple[str, str], ...] = ()
    split: str = "time"

    @classmethod
    def of(
        cls,
        data: str | None = None,
        graph: str | None = None,
        *,
        zones: str | None = None,
        pickup_time: str | None = None,
        duration: str | None = None,
        from_lonlat: str | None = None,
        to_lonlat: str | None = None,
        split: str | None = None,
    ) -> TripFiles:
        """Parse the options of the command line. Raises `UsageError` if their combination is invalid."""
        form, path = _parsed("--data", data, FORMATS)
        graph_form, graph_path = _parsed("--graph", graph, GRAPHS)
        named = {
            "--pickup-time": pickup_time,
            "--duration": duration,
            "--from-lonlat": from_lonlat,
            "--to-lonlat": to_lonlat,
        }
        given = [name for name, value in named.items() if value is not None]
        if form is None and graph_form is None:
            raise UsageError(
                "a build from real files needs --data or --graph", hint="for example: --data taxi:trips.csv"
            )
        if form is None and (given or zones is not None or split is not None):
            others = [name for name, value in (("--zones", zones), ("--split", split)) if value is not None]
            raise UsageError(f"{[*given, *others][0]} needs --data", hint="a map alone has no trips")
        if form != "csv" and given:
            raise UsageError(f"{given[0]} applies only to --data csv:FILE")
        if form == "csv" and len(given) < len(named):
            missing = next(name for name in named if name not in given)
            raise UsageError(
                f"a CSV needs {missing}",
                hint="--pickup-time COLUMN --duration COLUMN (seconds) --from-lonlat LON,LAT --to-lonlat LON,LAT",
            )
        if form == "tlc" and zones is None:
            raise UsageError(
                "tlc:FILE needs --zones FILE", hint="the GeoJSON of the taxi zones, in longitude and latitude"
            )
        if form != "tlc" and zones is not None:
            raise UsageError("--zones applies only to --data tlc:FILE")
        if split is not None and split not in SPLITS:
            raise UsageError(f"--split takes time or rows, not {split!r}")
        columns: tuple[tuple[str, str], ...] = ()
        if form == "csv":
            (one, two), (three, four) = (_pair(name, named[name]) for name in ("--from-lonlat", "--to-lonlat"))
            names = (pickup_time or "", duration or "", one, two, three, four)
            columns = tuple(zip(ROLES, names, strict=True))
            if len(set(names)) < len(names):
                raise UsageError("two options name the same column")
        return cls(form, path, graph_form, graph_path, _path(zones), columns, split or "time")

    def __str__(self) -> str:
        return " and ".join(path.name for path in (self.graph, self.path) if path is not None)

    def check(self) -> None:
        """Raise `UsageError` for a file that is missing, unreadable or empty."""
        for path in (self.path, self.zones, self.graph if self.graph_format != "dimacs" else None):
            if path is not None:
                size_of(path)
        if self.graph_format == "dimacs" and self.graph is not None and not self.graph.exists():
            raise UsageError(f"there is no directory {self.graph}")
        if self.graph_format == "dimacs" and self.graph is not None and not self.graph.is_dir():
            raise UsageError(
                f"{self.graph} is not a directory", hint="dimacs:DIR takes the directory of the .gr and .co files"
            )


def _parsed(option: str, value: str | None, formats: tuple[str, ...]) -> tuple[str | None, Path | None]:
    if value is None:
        return None, None
    form, colon, path = value.partition(":")
    texts = [f"{name}:{'DIR' if name == 'dimacs' else 'FILE'}" for name in formats]
    if form not in formats or not colon:
        raise UsageError(f"{option} takes {', '.join(texts[:-1])} or {texts[-1]}, not {value!r}")
    if not path:
        raise UsageError(f"{option} {value} lacks the name of a {'directory' if form == 'dimacs' else 'file'}")
    return form, _path(path)


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value).expanduser()


def _pair(option: str, value: str | None) -> tuple[str, str]:
    parts = [part.strip() for part in (value or "").split(",")]
    if len(parts) != 2 or not all(parts):
        raise UsageError(f"{option} takes two columns, LON,LAT, not {value!r}")
    if re.search("lat", parts[0], re.IGNORECASE) and re.search("lon|lng", parts[1], re.IGNORECASE):
        raise UsageError(f"{option} takes the longitude first", hint=f"for example: {option} {parts[1]},{parts[0]}")
    return parts[0], parts[1]
