"""Published figures: sections that leave each other alone, partial runs, the page and the README's table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.evaluation.figures import Figure
from infra.settings import REPOSITORY
from lab.output import headline as headlines
from lab.output.headline import BEGIN, END, headline, with_headline
from lab.output.measured import Measured, commit_of, measured_here, processor_name
from lab.output.published import Published, Run, page_of, read_published, write_published
from tests.support.tiny import tiny_design

HERE = Measured("A Processor", 2, "3.11.9", "small", "2026-01-05", "abc123")
LATER = replace(HERE, date="2026-02-06", commit="def456")


def figure(name: str, value: float, must: str | None = None) -> Figure:
    return Figure(name, f"what {name} is", value, value - 1, value + 1, "ms", must)


def run(where: Measured, *figures: Figure) -> Run:
    return Run(where, figures)


def ids(published: Published, section: str) -> list[list[str]]:
    return [[item.id for item in part.figures] for part in published.sections[section]]  # type: ignore[index]


def test_each_command_keeps_the_section_of_the_other(tmp_path: Path) -> None:
    bench = read_published("tiny", tmp_path).with_run("bench", run(HERE, figure("fast", 3.0)))
    write_published(bench, tmp_path)
    write_published(read_published("tiny", tmp_path).with_run("evaluate", run(LATER, figure("good", 5.0))), tmp_path)
    found = read_published("tiny", tmp_path)
    assert ids(found, "bench") == [["fast"]]
    assert ids(found, "evaluate") == [["good"]]
    assert (tmp_path / "tiny.md").read_text() == page_of(found)


def test_a_partial_run_replaces_only_what_it_measured() -> None:
    whole = Published("tiny", {}).with_run("bench", run(HERE, figure("a", 1.0), figure("b", 2.0), figure("c", 3.0)))
    found = whole.with_run("bench", run(LATER, figure("b", 9.0)), keep=["a", "b", "c"])
    assert ids(found, "bench") == [["a", "c"], ["b"]]
    assert [part.measured for part in found.sections["bench"]] == [HERE, LATER]
    values = {item.id: (item.value, where.date) for item, where in found.figures("small")}
    assert values == {"a": (1.0, HERE.date), "c": (3.0, HERE.date), "b": (9.0, LATER.date)}


def test_a_run_drops_what_is_no_figure_any_more_and_leaves_other_presets_alone() -> None:
    large = replace(HERE, preset="large")
    found = Published("tiny", {}).with_run("evaluate", run(large, figure("old", 1.0)))
    found = found.with_run("evaluate", run(HERE, figure("old", 1.0), figure("kept", 2.0)))
    found = found.with_run("evaluate", run(LATER, figure("new", 3.0)), keep=["kept"])
    assert ids(found, "evaluate") == [["old"], ["kept"], ["new"]]
    assert found.sections["evaluate"][0].measured == large


def test_what_is_written_is_read_back_and_names_its_machine(tmp_path: Path) -> None:
    written = Published("tiny", {"bench": (run(HERE, figure("fast", 3.0, "<= 4")),)})
    write_published(written, tmp_path)
    assert read_published("tiny", tmp_path) == written
    (stored,) = json.loads((tmp_path / "tiny.json").read_text())["bench"]
    assert set(stored["measured"]) == {"processor", "cores", "python", "preset", "date", "commit"}
    page = (tmp_path / "tiny.md").read_text()
    assert "| `fast` | what fast is | 3 ms | 2 – 4 | <= 4 |  | must reached |" in page
    assert HERE.sentence() in page


def test_the_table_of_the_readme_has_the_headline_figures_that_are_published() -> None:
    design = tiny_design(headline=("good", "missing", "fast"))
    sections = Published("tiny", {}).with_run("bench", run(HERE, figure("fast", 3.0, "<= 4"), figure("other", 1.0)))
    found = headline([design], {"tiny": sections.with_run("evaluate", run(LATER, figure("good", 5.0)))})
    rows = [line for line in found.splitlines() if line.startswith("| [Tiny]")]
    assert [row.split(" | ")[1] for row in rows] == ["what good is", "what fast is"]
    assert found.count("Measured on") == 2


def test_the_readme_changes_between_its_markers_only() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nthe rest\n"
    once = with_headline(page, "| new |")
    assert once == f"# Title\n\n{BEGIN}\n\n| new |\n\n{END}\n\nthe rest\n"
    assert with_headline(once, "| new |") == once


@pytest.mark.parametrize("page", ["# Title\n", f"{BEGIN} but no end\n", f"{END} but no begin\n"])
def test_a_readme_without_both_markers_stays_as_it_is(page: str) -> None:
    assert with_headline(page, "| new |") == page


def test_publishing_refreshes_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headlines, "load_designs", lambda: [tiny_design(headline=("fast",))])
    write_published(Published("tiny", {"bench": (run(HERE, figure("fast", 3.0)),)}), tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}{END}\n")
    headlines.refresh_readme(readme, tmp_path)
    assert "what fast is | 3 ms | 2 – 4 |" in readme.read_text()


def test_the_processor_is_named_by_the_system(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n\nmodel name\t: Some CPU @ 2.00GHz\n")
    assert processor_name(cpuinfo) == "Some CPU @ 2.00GHz"
    assert processor_name(tmp_path / "none") != ""
    here = measured_here("smoke")
    assert here.preset == "smoke"
    assert here.cores >= 1


def test_outside_a_repository_the_commit_is_unknown(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"
    if (REPOSITORY / ".git").exists():
        assert len(commit_of(REPOSITORY).removesuffix("-dirty")) == 12
