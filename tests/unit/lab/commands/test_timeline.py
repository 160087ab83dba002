"""`lab timeline` shows the newest events as a table, as JSON, and as a page that needs no network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.errors import UsageError
from infra.settings import Settings
from infra.telemetry.timeline import record
from lab.cli import app


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Settings(home=tmp_path, preset="smoke")


def run(*words: str) -> str:
    command = ["timeline", *words, "--preset", "smoke"]
    return CliRunner().invoke(app, command, catch_exceptions=False).output


def test_newest_events_are_listed_oldest_first(settings: Settings) -> None:
    for number in range(4):
        record(settings, "feed_ranking", "build", f"release {number}", world_ts=1_767_571_200.0 + number)
    printed = run("feed_ranking", "--limit", "2")
    assert printed.index("release 2") < printed.index("release 3")
    assert "release 1" not in printed
    assert "2026-01-05 00:00:03" in printed
    rows = json.loads(run("feed_ranking", "--limit", "3", "--json"))
    assert [row["text"] for row in rows] == ["release 1", "release 2", "release 3"]
    assert rows[-1]["world_ts"] == 1_767_571_203.0


def test_a_design_without_events_is_no_error(settings: Settings) -> None:
    assert "nothing is recorded yet of eta_prediction (smoke)" in run("eta_prediction")
    assert json.loads(run("eta_prediction", "--json")) == []


def test_page_shows_every_event_escaped_and_loads_nothing(settings: Settings, tmp_path: Path) -> None:
    record(settings, "ctr_prediction", "gate", "refused: <worse> & more", version=7)
    record(settings, "ctr_prediction", "shift", "the world changes", size=0.7)
    page = tmp_path / "pages" / "timeline.html"
    assert str(page) in run("ctr_prediction", "--html", str(page))
    html = page.read_text()
    assert "refused: &lt;worse&gt; &amp; more" in html
    assert "version 7" in html
    assert "size 0.7" in html
    assert html.index("refused") < html.index("the world changes")
    assert not re.search(r"(src|href|url|@import|<script|<link)", html)


def test_unknown_design_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="there is no design 'ads'"):
        run("ads")
