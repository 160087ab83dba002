"""Prints figures as JSON, as a table for the terminal, or as Markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence

from infra.evaluation.figures import Figure, keeps
from lab.output.console import out, print_json, print_table

COLUMNS = ("id", "value", "spread", "must", "aim", "", "figure")


def show_figures(figures: Sequence[Figure], *, as_json: bool, as_markdown: bool) -> None:
    if as_json:
        print_json([figure.row() for figure in figures])
    elif as_markdown:
        out.print(markdown(figures), markup=False)
    else:
        print_table(COLUMNS, [_cells(figure) for figure in figures])


def markdown(figures: Sequence[Figure]) -> str:
    lines = ["| id | figure | value | spread | must | aim | |", "|---|---|---|---|---|---|---|"]
    for figure in figures:
        value, spread = value_and_spread(figure)
        bounds = f"{figure.must or ''} | {figure.aim or ''}"
        lines.append(f"| `{figure.id}` | {figure.description} | {value} | {spread} | {bounds} | {verdict(figure)} |")
    return "\n".join(lines)


def verdict(figure: Figure) -> str:
    """State in words which of the bounds `must` and `aim` the figure meets; empty if it has no bound."""
    if figure.must is None and figure.aim is None:
        return ""
    if figure.aim is not None and keeps(figure.value, figure.aim):
        return "aim reached"
    if figure.must is None:
        return "aim not reached"
    return "must reached" if figure.met else "not reached"


def value_and_spread(figure: Figure) -> tuple[str, str]:
    """Format the value with its unit, and the spread, with four significant digits."""
    row = figure.row()
    return f"{row['value']:.4g} {figure.unit}".strip(), f"{row['low']:.4g} – {row['high']:.4g}"


def _cells(figure: Figure) -> list[object]:
    value, spread = value_and_spread(figure)
    return [figure.id, value, spread, figure.must, figure.aim, verdict(figure), figure.description]
