"""Reads and writes published figures: `designs/figures/NAME.json` holds the data, `NAME.md` is rendered from the data.

`lab bench` and `lab evaluate` each write their own section and keep the other section. A section is a list of runs, and
each run records where and when it was measured. So a run of a few figures (`--only`) replaces only these figures.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from infra.evaluation.figures import Figure
from infra.files import write_atomically
from infra.settings import REPOSITORY
from lab.output.figures import markdown
from lab.output.measured import Measured

Section = Literal["bench", "evaluate"]
SECTIONS: tuple[Section, ...] = ("bench", "evaluate")
DIRECTORY = REPOSITORY / "designs" / "figures"


@dataclass(frozen=True)
class Run:
    """Figures that one command measured."""

    measured: Measured
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Published:
    """All published figures of one design, or of the stream, grouped by section."""

    name: str
    sections: Mapping[Section, tuple[Run, ...]]

    def figures(self, preset: str) -> Iterator[tuple[Figure, Measured]]:
        """Yield the figures of one preset from all sections, each with its measurement record."""
        for runs in self.sections.values():
            for run in runs:
                if run.measured.preset == preset:
                    yield from ((figure, run.measured) for figure in run.figures)

    def with_run(self, section: Section, run: Run, keep: Collection[str] = ()) -> Published:
        """Return a copy with this run added to its section.

        An older figure of the same section and preset stays only if `keep` names it and the run has no new value for
        it. Figures of other presets and of the other section stay.
        """
        kept_ids = set(keep) - {figure.id for figure in run.figures}
        runs = []
        for old in self.sections.get(section, ()):
            is_other = old.measured.preset != run.measured.preset
            figures = tuple(figure for figure in old.figures if is_other or figure.id in kept_ids)
            if figures:
                runs.append(replace(old, figures=figures))
        return replace(self, sections={**self.sections, section: (*runs, run)})


def read_published(name: str, directory: Path = DIRECTORY) -> Published:
    """Read the published figures of `name`; without a file, the result has no sections."""
    path = directory / f"{name}.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    return Published(name, {part: tuple(map(_run_of, stored[part])) for part in SECTIONS if part in stored})


def write_published(published: Published, directory: Path = DIRECTORY) -> None:
    """Write the JSON data and the Markdown page."""
    document: dict[str, Any] = {"name": published.name}
    for section in _in_order(published):
        document[section] = [_row_of(run) for run in published.sections[section]]
    write_atomically(directory / f"{published.name}.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    write_atomically(directory / f"{published.name}.md", page_of(published))


def page_of(published: Published) -> str:
    """Render the Markdown page from the data alone."""
    name = published.name
    parts = [
        f"# Figures of `{name}`",
        f"`lab … --publish` generates this page from [{name}.json]({name}.json); no number on it is typed by hand.",
    ]
    for section in _in_order(published):
        parts.append(f"## `.venv/bin/lab {section} {name}`")
        for run in published.sections[section]:
            parts += [run.measured.sentence(), markdown(run.figures)]
    return "\n\n".join(parts) + "\n"


def _in_order(published: Published) -> Sequence[Section]:
    return [section for section in SECTIONS if section in published.sections]


def _row_of(run: Run) -> dict[str, Any]:
    """Convert a run to JSON values. `Figure.row` rounds numbers to five significant digits."""
    return {"measured": asdict(run.measured), "figures": [_figure_row(figure) for figure in run.figures]}


def _figure_row(figure: Figure) -> dict[str, Any]:
    row = figure.row()
    numbers = {key: row[key] for key in ("value", "low", "high", "unit", "must", "aim")}
    return {"id": figure.id, "description": figure.description, **numbers}


def _run_of(row: Mapping[str, Any]) -> Run:
    keys = ("id", "description", "value", "low", "high", "unit", "must", "aim")
    return Run(Measured(**row["measured"]), tuple(Figure(*(of[key] for key in keys)) for of in row["figures"]))
