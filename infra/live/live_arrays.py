"""Arrays that one process writes and others read: a small file that is replaced atomically, and a thread that polls it.

A worker publishes its counts to services this way. A service does not read the log for them, and a service that has
just started has the same counts as one that is running.
"""

from __future__ import annotations

import logging
import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

log = logging.getLogger(__name__)


class Record(Protocol):
    """A dataclass whose fields are arrays and numbers."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


R = TypeVar("R", bound=Record)


def write_arrays(path: Path, value: Record) -> None:
    """Write the fields of `value` to `path` atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as out:
        arrays: dict[str, Any] = {item.name: np.asarray(getattr(value, item.name)) for item in fields(value)}
        np.savez(out, **arrays)
    aside.replace(path)


def read_arrays(path: Path, kind: Callable[..., R], names: list[str]) -> R:
    """Read the file and return `kind(**fields)`. An array without dimensions becomes a number.

    Raises `OSError` if the file is missing and `ValueError` if it is invalid.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            values: dict[str, Any] = {name: stored[name] for name in names}
    except (KeyError, EOFError, zipfile.BadZipFile) as exc:
        raise ValueError(f"{path} is not a file of counts: {exc}") from exc
    return kind(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})


class ArraysWatcher(Generic[R]):
    """Polls the file every `interval_s` from its own thread, and passes the content of each new file to `apply`."""

    def __init__(
        self, path: Path, read: Callable[[Path], R], apply: Callable[[R], None], interval_s: float = 0.5
    ) -> None:
        self._path, self._read, self._apply, self._interval_s = path, read, apply, interval_s
        self._seen: tuple[int, int] | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="stats-watcher", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def check(self) -> bool:
        """Poll once. Returns True if the file was new and valid."""
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_ino) == self._seen:
                return False
            self._seen = (found.st_mtime_ns, found.st_ino)
            self._apply(self._read(self._path))
        except OSError:
            return False  # the worker has not written the file yet
        except ValueError as exc:
            log.warning("cannot load the new counts, the last ones stay in use: %s", exc)
            return False
        return True

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.check()
