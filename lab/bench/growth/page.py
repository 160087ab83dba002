"""Reads and writes the published growth: `designs/growth/data.json`, a page of tables, and one chart per design."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.design import Design
from infra.files import write_atomically
from infra.settings import REPOSITORY
from lab.bench.growth.chart import draw
from lab.bench.growth.lines import EXPLAINED, Line, lines_of
from lab.bench.growth.sizes import Cost, Size
from lab.designs import find_design
from lab.output.measured import Measured

DIRECTORY = REPOSITORY / "designs" / "growth"
DATA, PAGE = "data.json", "README.md"
ITEMS = {"feed_ranking": "posts", "ctr_prediction": "ads", "eta_prediction": "edges"}
TITLES = {
    ("s", "rows"): "Seconds of each step of a build",
    ("MB", "rows"): "Peak memory of each step, in MB",
    ("ms", "items"): "Milliseconds of each stage of a request",
}


@dataclass(frozen=True)
class Growth:
    """The sizes of one design, from the smallest to the largest, and the conditions of the measurement."""

    measured: Measured
    sizes: tuple[Size, ...]


def read_growth(directory: Path = DIRECTORY) -> dict[str, Growth]:
    """Design -> its growth; empty before the first publication."""
    path = directory / DATA
    rows: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return {name: _growth(row) for name, row in rows.items()}


def publish_growth(found: Mapping[str, Growth], directory: Path = DIRECTORY) -> None:
    """Write data, page and charts. Designs that were not measured now keep what was published before."""
    directory.mkdir(parents=True, exist_ok=True)
    merged = read_growth(directory) | dict(found)
    data = {name: asdict(growth) for name, growth in merged.items()}
    write_atomically(directory / DATA, json.dumps(data, indent=2) + "\n")
    write_atomically(directory / PAGE, page_of(merged))
    for name, growth in found.items():
        draw(growth.sizes, find_design(name).title).save(str(directory / f"{find_design(name).container}.svg"))


def page_of(growths: Mapping[str, Growth]) -> str:
    """The page with the tables of all designs."""
    parts = [
        "# How cost grows: the measurements",
        "Written by `lab bench growth --publish`; do not edit. [Scaling](../scaling.md) explains it.",
        "An exponent k says: the cost is proportional to size^k between the last two sizes. At 1, twice the size costs "
        "twice as much; at 0 the size does not matter. Costs that are mostly a fixed part have no exponent. "
        f"Exponents above {EXPLAINED:g} are bold.",
    ]
    for name, growth in growths.items():
        design = find_design(name)
        parts += [f"## {design.title}", f"![{design.title}]({design.container}.svg)", *_tables(design, growth)]
    return "\n\n".join(parts) + "\n"


def _tables(design: Design, growth: Growth) -> list[str]:
    conditions = growth.measured
    text = f"Measured on {conditions.date} (UTC), commit `{conditions.commit}`, on {conditions.where}."
    sizes = [[one.preset, f"{one.rows:,}", f"{one.entities:,}", f"{one.items:,}"] for one in growth.sizes]
    entities = "drivers" if design.container == "eta" else "users"
    tables = [text, _table(["preset", "rows of the history", entities, ITEMS[design.name]], sizes)]
    for (unit, against), title in TITLES.items():
        lines = [line for line in lines_of(growth.sizes) if line.unit == unit]
        numbers = ITEMS[design.name] if against == "items" else "rows"
        head = [title, *(one.preset for one in growth.sizes), f"exponent, by {numbers}"]
        tables.append(_table(head, [_row(line) for line in lines]))
    return tables


def _row(line: Line) -> list[str]:
    exponent = "" if line.exponent is None else f"{line.exponent:.2f}"
    strong = line.exponent is not None and line.exponent > EXPLAINED
    values = [f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in line.values]
    return [f"`{line.what}`", *values, f"**{exponent}**" if strong else exponent]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _growth(row: Mapping[str, Any]) -> Growth:
    sizes = [
        Size(**(one | {"steps": {name: Cost(**cost) for name, cost in one["steps"].items()}})) for one in row["sizes"]
    ]
    return Growth(Measured(**row["measured"]), tuple(sizes))
