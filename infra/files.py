"""Atomic file writes, and the errors of a disk."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import LabError


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file atomically: after a crash or for a concurrent reader, the file holds the old text or the
    new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        aside.write_text(text)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def disk_errors(
    root: Path, again: str = "run the command again", elsewhere: str = "set LAB_HOME to a directory you may write to"
) -> Iterator[None]:
    """Convert the errors of a full or read-only disk to a `LabError`. Its hint says what to do `again`, or how to
    choose another directory."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LabError(f"the disk of {root} is full", hint=f"free some space and {again}") from exc
        is_file = isinstance(exc, FileExistsError) and Path(exc.filename).is_file()
        if is_file or exc.errno in (errno.EROFS, errno.EACCES, errno.ENOTDIR):
            raise LabError(f"cannot write under {root}", hint=elsewhere) from exc
        raise
