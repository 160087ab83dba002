"""The file with the present shift is replaced in one piece, and `ShiftWatch` returns each change once."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import CorruptArtifact
from infra.live import world_shift
from infra.live.world_shift import FILE, ShiftWatch, WorldShift, clear_shift, read_shift, write_shift

SHIFT = WorldShift(0.5, "2026-01-05T00:00:00+00:00", 1_767_571_200.0)


def test_a_shift_is_read_as_written_until_it_is_cleared(tmp_path: Path) -> None:
    root = tmp_path / "not_built_yet"
    assert read_shift(root) is None
    assert not clear_shift(root)
    write_shift(root, SHIFT)
    assert read_shift(root) == SHIFT
    write_shift(root, WorldShift(0.7, SHIFT.at))
    assert read_shift(root) == WorldShift(0.7, SHIFT.at, None)
    assert clear_shift(root)
    assert read_shift(root) is None
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("text", ["", "7", "{}", '{"size": 1, "at": "", "more": 2}', '{"size": NaN, "at": ""}'])
def test_a_damaged_file_is_reported_with_the_command_that_removes_it(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(CorruptArtifact, match=r"world_shift\.json is damaged") as caught:
        read_shift(tmp_path)
    assert caught.value.hint == f"run: lab world shift {tmp_path.name} --clear"


def test_each_change_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counted(root: Path) -> WorldShift | None:
        reads.append(root)
        return read_shift(root)

    monkeypatch.setattr(world_shift, "read_shift", counted)
    watch = ShiftWatch(tmp_path)
    assert watch.change() is None, "no file, and no change"
    write_shift(tmp_path, SHIFT)
    assert [watch.change() for _ in range(3)] == [0.5, None, None]
    assert len(reads) == 1, "an unchanged file is not read again"
    write_shift(tmp_path, SHIFT)
    assert watch.change() is None, "the same size again is no change"
    write_shift(tmp_path, WorldShift(0.7, SHIFT.at))
    assert [watch.change() for _ in range(2)] == [0.7, None]
    clear_shift(tmp_path)
    assert [watch.change() for _ in range(2)] == [0.0, None]


def test_a_shift_that_is_there_at_the_start_is_a_change(tmp_path: Path) -> None:
    write_shift(tmp_path, SHIFT)
    assert ShiftWatch(tmp_path).change() == 0.5


def test_a_damaged_file_is_told_once_and_a_later_shift_applies(tmp_path: Path) -> None:
    watch = ShiftWatch(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(CorruptArtifact):
        watch.change()
    assert watch.change() is None
    write_shift(tmp_path, SHIFT)
    assert watch.change() == 0.5
