"""Without a terminal, a build prints a line per step, and the progress of a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.build.runner import build
from infra.settings import Settings
from lab.services import building
from tests.support.tiny_steps import DESIGN


def lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines about steps. A server thread of another test may print to the same stream."""
    settings = Settings(home=tmp_path, preset="smoke")
    building.with_progress(lambda observer: build(DESIGN, settings, observer=observer))
    return [line for line in capsys.readouterr().err.splitlines() if line[1:3] == "/3"]


def test_long_step_prints_its_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "TELL_EVERY_S", 0.0)
    assert [line[:12] for line in lines(tmp_path, capsys)[:2]] == ["1/3  First: ", "1/3  a      "]


def test_short_step_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [line[:6] for line in lines(tmp_path, capsys)] == ["1/3  a", "2/3  b", "3/3  c"]
