"""Atomic writes replace a file in one step and leave no temporary file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from infra.files import write_atomically


def test_atomic_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "pointer.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["pointer.json"]
    assert (tmp_path / "pointer.json").read_text() == "new"


def test_atomic_write_creates_parent_directories(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "pointer.json", "new")
    assert (tmp_path / "a" / "b" / "pointer.json").read_text() == "new"


def test_atomic_write_replaces_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    path.write_text("a much longer old text")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


def test_failed_write_keeps_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "cannot be encoded: \ud800")
    assert path.read_text() == "old"


def test_concurrent_reader_sees_only_complete_texts(tmp_path: Path) -> None:
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


def test_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert [item.name for item in tmp_path.iterdir()] == ["file.json"]
    assert path.read_text() == "old"


def test_temporary_file_is_complete_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved.append(self.read_text())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_atomically(tmp_path / "pointer.json", "short enough to stay in a buffer")
    assert moved == ["short enough to stay in a buffer"]


def test_atomic_write_uses_the_default_file_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "ordinary").write_text("text")
        write_atomically(tmp_path / "atomic", "text")
    finally:
        os.umask(before)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert modes["atomic"] == modes["ordinary"]
