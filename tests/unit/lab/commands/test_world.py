"""`lab world shift` writes the shift that `lab live` follows, and the timeline tells each one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.design import Design
from infra.errors import UsageError
from infra.live.world_shift import WorldShift, clear_shift, read_shift
from infra.settings import Settings
from infra.telemetry.timeline import read
from lab.cli import app
from lab.designs import load_designs


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return Settings(home=tmp_path, preset="smoke")


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["world", *words, "--preset", "smoke"], catch_exceptions=False)
    return " ".join(done.output.split())


def present(settings: Settings, design: str = "feed_ranking") -> WorldShift | None:
    return read_shift(settings.design_root(design))


def test_a_shift_is_kept_shown_and_taken_back(settings: Settings) -> None:
    assert "is as generated" in run("show", "feed_ranking")
    assert "rotate among each other (size 0.4)" in run("shift", "feed_ranking", "--size", "0.4")
    kept = present(settings)
    assert kept is not None
    assert (kept.size, kept.world_ts) == (0.4, None)
    assert "(size 0.4)" in run("show", "feed_ranking")
    shown = json.loads(run("show", "feed_ranking", "--json"))
    assert (shown["design"], shown["size"], shown["at"]) == ("feed_ranking", 0.4, kept.at)
    assert present(settings, "ctr_prediction") is None
    assert "is as generated" in run("shift", "feed_ranking", "--clear")
    assert present(settings) is None
    assert json.loads(run("show", "feed_ranking", "--json"))["size"] == 0.0


@pytest.mark.parametrize("design", load_designs(), ids=str)
def test_every_design_has_a_default_size_and_the_timeline_tells_it(settings: Settings, design: Design) -> None:
    run("shift", design.name)
    run("shift", design.name, "--clear")
    began, ended = read(settings, design.name)
    assert (began.kind, ended.kind) == ("shift", "shift")
    assert (began.facts, ended.facts) == ({"size": design.shift.size}, {"size": 0.0})
    assert began.text.startswith(design.shift.title)


def test_a_running_world_gives_its_time(settings: Settings) -> None:
    clock = settings.design_root("ctr_prediction") / "live" / "clock.json"
    clock.parent.mkdir(parents=True)
    clock.write_text(json.dumps({"world_s": 1_767_571_200.0, "wall_s": time.time()}))
    run("shift", "ctr_prediction")
    kept, (entry,) = present(settings, "ctr_prediction"), read(settings, "ctr_prediction")
    assert kept is not None
    assert kept.world_ts == entry.world_ts == pytest.approx(1_767_571_200.0, abs=20)


@pytest.mark.parametrize("size", ["0", "1.5", "-0.3", "nan"])
def test_a_size_outside_the_range_changes_nothing(settings: Settings, size: str) -> None:
    with pytest.raises(UsageError, match=r"a shift has a size of 0.05 to 1, not"):
        run("shift", "feed_ranking", "--size", size)
    assert present(settings) is None
    assert read(settings, "feed_ranking") == []


def test_unknown_design_is_a_usage_error(settings: Settings) -> None:
    for words in (("shift", "ads"), ("show", "ads")):
        with pytest.raises(UsageError, match="there is no design 'ads'"):
            run(*words)


def test_clear_without_a_shift_is_no_event(settings: Settings) -> None:
    assert "is as generated" in run("shift", "feed_ranking", "--clear")
    assert read(settings, "feed_ranking") == []


def test_clear_takes_no_size_and_removes_a_damaged_file(settings: Settings) -> None:
    run("shift", "feed_ranking")
    with pytest.raises(UsageError, match="leave out --size"):
        run("shift", "feed_ranking", "--clear", "--size", "0.5")
    assert present(settings) is not None
    (settings.design_root("feed_ranking") / "world_shift.json").write_text("{")
    run("shift", "feed_ranking", "--clear")
    assert present(settings) is None
    assert not clear_shift(settings.design_root("feed_ranking"))
