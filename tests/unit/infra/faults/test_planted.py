"""A planted cause is one small file. Builds include it in the fingerprints of the steps that it changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.build.current import is_built
from infra.build.fingerprints import fingerprints
from infra.build.runner import StepContext, build
from infra.design import Plant
from infra.errors import CorruptArtifact
from infra.faults.planted import FILE, PlantedWatch, clear_planted, planted_in, read_planted, write_planted
from infra.settings import Settings
from tests.support.tiny_steps import DESIGN, current, ran

PLANTS = (Plant("wrong_b", "b is wrong", step="b"), Plant("slow", "the service is slow"))
PLANTABLE = replace(DESIGN, plants=PLANTS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings) -> Path:
    root = settings.design_root("tiny")
    root.mkdir(parents=True)
    return root


def test_file_keeps_one_cause_until_it_is_cleared(root: Path) -> None:
    assert read_planted(root) == ""
    clear_planted(root)
    for cause in ("wrong_b", "slow"):
        write_planted(root, cause)
        assert read_planted(root) == cause
    clear_planted(root)
    assert read_planted(root) == ""
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("text", ["", "half a fi", "[]", "{}"])
def test_damaged_file_is_an_error_for_a_build_and_no_cause_for_a_service(root: Path, text: str) -> None:
    (root / FILE).write_text(text)
    with pytest.raises(CorruptArtifact, match="damaged"):
        read_planted(root)
    assert PlantedWatch(root).present() == ""


def test_running_service_follows_the_file_and_reads_it_only_after_a_change(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, reads = PlantedWatch(root), []
    monkeypatch.setattr("infra.faults.planted.read_planted", lambda at: reads.append(at) or read_planted(at))
    assert [watch.present() for _ in range(3)] == [""] * 3
    write_planted(root, "slow")
    assert [watch.present() for _ in range(3)] == ["slow"] * 3
    write_planted(root, "wrong_b")
    assert [watch.present() for _ in range(3)] == ["wrong_b"] * 3
    assert len(reads) == 2
    clear_planted(root)
    assert watch.present() == ""


def test_cause_changes_the_fingerprints_of_its_step_and_of_later_ones(settings: Settings, root: Path) -> None:
    before = fingerprints(PLANTABLE, settings)
    write_planted(root, "wrong_b")
    after = fingerprints(PLANTABLE, settings)
    assert [name for name in before if before[name] != after[name]] == ["b", "c"]
    assert [planted_in(PLANTABLE, root, name) for name in "abc"] == ["", "wrong_b", ""]
    for harmless in ("slow", "unknown"):
        write_planted(root, harmless)
        assert fingerprints(PLANTABLE, settings) == before
    write_planted(root, "wrong_b")
    assert fingerprints(DESIGN, settings) == before, "a design without plants has none"


def test_build_runs_again_with_a_cause_and_clearing_it_restores_the_earlier_outputs(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def make_b(context: StepContext) -> None:
        seen.append(context.planted)
        (context.out / "b.txt").write_text("wrong" if context.planted else "right")

    monkeypatch.setattr("tests.support.tiny_steps.make_b", make_b)
    build(PLANTABLE, settings)
    healthy = current(settings)
    write_planted(root, "wrong_b")
    assert not is_built(PLANTABLE, settings)
    assert ran(build(PLANTABLE, settings)) == "bc"
    assert (Path(current(settings)["c"]) / "c.txt").read_text() == "wrong c"
    clear_planted(root)
    assert ran(build(PLANTABLE, settings)) == ""
    assert (current(settings), seen) == (healthy, ["", "wrong_b"])


def test_outputs_of_a_build_do_not_name_the_cause(settings: Settings, root: Path) -> None:
    write_planted(root, "wrong_b")
    build(PLANTABLE, settings)
    texts = {path: path.read_text() for path in root.rglob("*") if path.is_file() and path.name != FILE}
    assert len(texts) > 3
    assert [path for path, text in texts.items() if "wrong_b" in text] == []
    assert json.loads((root / FILE).read_text()) == {"cause": "wrong_b"}
