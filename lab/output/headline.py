"""Writes the README's table of headline figures between two markers: at most eight over all designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.design import Design
from infra.files import write_atomically
from infra.settings import REPOSITORY
from lab.designs import load_designs
from lab.output.figures import value_and_spread
from lab.output.measured import summary
from lab.output.published import DIRECTORY, Published, read_published

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
MOST, PRESET = 8, "small"
README = REPOSITORY / "README.md"


def headline(designs: Sequence[Design], published: Mapping[str, Published]) -> str:
    """Return a Markdown table of the published figures that each design's `headline` names."""
    lines = ["| design | figure | value | spread | must |", "|---|---|---|---|---|"]
    conditions = []
    for design in designs:
        found = {figure.id: (figure, where) for figure, where in published[design.name].figures(PRESET)}
        for figure, where in (found[name] for name in design.headline if name in found):
            value, spread = value_and_spread(figure)
            page = f"[{design.title}](designs/figures/{design.name}.md)"
            lines.append(f"| {page} | {figure.description} | {value} | {spread} | {figure.must or ''} |")
            conditions.append(where)
    return "\n".join(lines) + "\n\n" + summary(conditions)


def with_headline(page: str, table: str) -> str:
    """Return the page with `table` between its markers; a page without markers is returned unchanged."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}" if begin and end else page


def refresh_readme(readme: Path = README, directory: Path = DIRECTORY) -> None:
    """Write the table of published headline figures into the README."""
    designs = load_designs()
    table = headline(designs, {design.name: read_published(design.name, directory) for design in designs})
    page = readme.read_text()
    if (changed := with_headline(page, table)) != page:
        write_atomically(readme, changed)
