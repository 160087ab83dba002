"""Pages of figures and the table in the README are rendered from the committed JSON files."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.evaluation.figures import Bound
from infra.settings import REPOSITORY
from lab.bench.compose.run import COMPOSE_BOUNDS
from lab.bench.loop.run import LOOP_BOUNDS
from lab.bench.stream.run import STREAM_BOUNDS
from lab.bench.together import TOGETHER_BOUNDS
from lab.bench.versions.run import VERSION_BOUNDS
from lab.designs import NAMES, find_design, load_designs
from lab.output.headline import MOST, README, headline, with_headline
from lab.output.published import DIRECTORY, page_of, read_published

FILES = sorted(DIRECTORY.glob("*.json"))
BOUNDS: dict[str, tuple[Bound, ...]] = {name: find_design(name).bench for name in NAMES} | {
    "stream": STREAM_BOUNDS,
    "together": TOGETHER_BOUNDS,
    "compose": COMPOSE_BOUNDS,
    "loop": LOOP_BOUNDS,
    "versions": VERSION_BOUNDS,
}


def test_every_design_has_published_figures() -> None:
    assert set(NAMES) <= {path.stem for path in FILES} <= set(BOUNDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_figures_page_is_rendered_from_its_data(path: Path) -> None:
    assert path.with_suffix(".md").read_text() == page_of(read_published(path.stem))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_runs_name_their_machine_and_figures_are_unique(path: Path) -> None:
    for runs in read_published(path.stem).sections.values():
        for run in runs:
            assert all([run.measured.processor, run.measured.cores, run.measured.date, run.measured.commit])
        keys = [(run.measured.preset, figure.id) for run in runs for figure in run.figures]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_published_benchmarks_have_the_current_bounds(path: Path) -> None:
    bounds = {bound.id: (bound.must, bound.aim) for bound in BOUNDS[path.stem]}
    for run in read_published(path.stem).sections.get("bench", ()):
        assert {figure.id: (figure.must, figure.aim) for figure in run.figures}.items() <= bounds.items()


def test_readme_shows_the_published_headline() -> None:
    page = README.read_text()
    table = headline(load_designs(), {name: read_published(name) for name in NAMES})
    assert with_headline(page, table) == page


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 160


def test_headline_is_short_and_uses_measured_figures() -> None:
    designs = load_designs()
    assert sum(len(design.headline) for design in designs) <= MOST
    for design in designs:
        evaluated = {
            figure.id for run in read_published(design.name).sections.get("evaluate", ()) for figure in run.figures
        }
        assert set(design.headline) <= {bound.id for bound in design.bench} | evaluated


def test_every_figures_page_has_data() -> None:
    assert {path.stem for path in (REPOSITORY / "designs" / "figures").glob("*.md")} == {path.stem for path in FILES}
