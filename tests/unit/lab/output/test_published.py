"""Published figures keep separate sections per command, merge partial runs, and update the README table."""

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


def test_published_runs_keep_the_sections_of_other_commands(tmp_path: Path) -> None:
    bench = read_published("tiny", tmp_path).with_run("bench", run(HERE, figure("fast", 3.0)))
    write_published(bench, tmp_path)
    write_published(read_published("tiny", tmp_path).with_run("evaluate", run(LATER, figure("good", 5.0))), tmp_path)
    found = read_published("tiny", tmp_path)
    assert ids(found, "bench") == [["fast"]]
    assert ids(found, "evaluate") == [["good"]]
    assert (tmp_path / "tiny.md").read_text() == page_of(found)


def test_partial_run_replaces_only_its_own_figures() -> None:
    whole = Published("tiny", {}).with_run("bench", run(HERE, figure("a", 1.0), figure("b", 2.0), figure("c", 3.0)))
    found = whole.with_run("bench", run(LATER, figure("b", 9.0)), keep=["a", "b", "c"])
    assert ids(found, "bench") == [["a", "c"], ["b"]]
    assert [part.measured for part in found.sections["bench"]] == [HERE, LATER]
    values = {item.id: (item.value, where.date) for item, where in found.figures("small")}
    assert values == {"a": (1.0, HERE.date), "c": (3.0, HERE.date), "b": (9.0, LATER.date)}


def test_run_drops_obsolete_figures_and_keeps_other_presets() -> None:
    large = replace(HERE, preset="large")
    found = Published("tiny", {}).with_run("evaluate", run(large, figure("old", 1.0)))
    found = found.with_run("evaluate", run(HERE, figure("old", 1.0), figure("kept", 2.0)))
    found = found.with_run("evaluate", run(LATER, figure("new", 3.0)), keep=["kept"])
    assert ids(found, "evaluate") == [["old"], ["kept"], ["new"]]
    assert found.sections["evaluate"][0].measured == large


def test_published_figures_survive_a_round_trip_and_name_the_machine(tmp_path: Path) -> None:
    written = Published("tiny", {"bench": (run(HERE, figure("fast", 3.0, "<= 4")),)})
    write_published(written, tmp_path)
    assert read_published("tiny", tmp_path) == written
    (stored,) = json.loads((tmp_path / "tiny.json").read_text())["bench"]
    assert set(stored["measured"]) == {"processor", "cores", "python", "preset", "date", "commit"}
    page = (tmp_path / "tiny.md").read_text()
    assert "| `fast` | what fast is | 3 ms | 2 – 4 | <= 4 |  | must reached |" in page
    assert HERE.sentence() in page


def test_readme_table_lists_the_published_headline_figures() -> None:
    design = tiny_design(headline=("good", "missing", "fast"))
    sections = Published("tiny", {}).with_run("bench", run(HERE, figure("fast", 3.0, "<= 4"), figure("other", 1.0)))
    found = headline([design], {"tiny": sections.with_run("evaluate", run(LATER, figure("good", 5.0)))})
    rows = [line for line in found.splitlines() if line.startswith("| [Tiny]")]
    assert [row.split(" | ")[1] for row in rows] == ["what good is", "what fast is"]
    assert found.count("Measured") == 1, "one sentence per machine"
    assert "Measured from 2026-01-05 to 2026-02-06 (UTC), preset `small`, on A Processor, 2 cores" in found


def test_readme_update_changes_only_the_text_between_the_markers() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nthe rest\n"
    once = with_headline(page, "| new |")
    assert once == f"# Title\n\n{BEGIN}\n\n| new |\n\n{END}\n\nthe rest\n"
    assert with_headline(once, "| new |") == once


@pytest.mark.parametrize("page", ["# Title\n", f"{BEGIN} but no end\n", f"{END} but no begin\n"])
def test_readme_without_both_markers_is_unchanged(page: str) -> None:
    assert with_headline(page, "| new |") == page


def test_publishing_refreshes_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headlines, "load_designs", lambda: [tiny_design(headline=("fast",))])
    write_published(Published("tiny", {"bench": (run(HERE, figure("fast", 3.0)),)}), tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}{END}\n")
    headlines.refresh_readme(readme, tmp_path)
    assert "what fast is | 3 ms | 2 – 4 |" in readme.read_text()


def test_processor_name_comes_from_the_system(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n\nmodel name\t: Some CPU @ 2.00GHz\n")
    assert processor_name(cpuinfo) == "Some CPU @ 2.00GHz"
    assert processor_name(tmp_path / "none") != ""
    here = measured_here("smoke")
    assert here.preset == "smoke"
    assert here.cores >= 1


def test_commit_is_unknown_outside_a_repository(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"
    if (REPOSITORY / ".git").exists():
        assert len(commit_of(REPOSITORY).removesuffix("-dirty")) == 12
