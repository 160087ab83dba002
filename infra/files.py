"""Writing so that a reader, or a crash, never meets half a file."""

from __future__ import annotations

import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file in one move: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        aside = Path(file.name)
        try:
            file.write(text)
            file.flush()
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
