"""A small file is replaced in one move, and nothing else is left beside it."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from infra.files import write_atomically


def test_it_writes_the_text_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "pointer.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["pointer.json"]
    assert (tmp_path / "pointer.json").read_text() == "new"


def test_it_makes_the_directories_above(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "pointer.json", "new")
    assert (tmp_path / "a" / "b" / "pointer.json").read_text() == "new"


def test_it_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    path.write_text("a much longer old text")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "cannot be encoded: \ud800")
    assert path.read_text() == "old"


def test_a_reader_meets_the_old_or_the_new_text_and_nothing_between(tmp_path: Path) -> None:
    path, done = tmp_path / "pointer.json", threading.Event()
    texts = {letter * 200_000 for letter in "ab"}
    write_atomically(path, "a" * 200_000)

    def write() -> None:
        for _ in range(30):
            for text in sorted(texts):
                write_atomically(path, text)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_text())
    writer.join()
    assert seen <= texts
    assert seen


def test_a_write_that_fails_leaves_nothing_beside_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert [item.name for item in tmp_path.iterdir()] == ["file.json"]
    assert path.read_text() == "old"


def test_the_text_is_complete_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved.append(self.read_text())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_atomically(tmp_path / "pointer.json", "short enough to wait in a buffer")
    assert moved == ["short enough to wait in a buffer"]


def test_atomic_write_uses_the_default_file_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "ordinary").write_text("text")
        write_atomically(tmp_path / "atomic", "text")
    finally:
        os.umask(before)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert modes["atomic"] == modes["ordinary"]
