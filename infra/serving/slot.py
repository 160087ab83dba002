"""What is served now, and its exchange while requests run.

A service holds one immutable value made from one release. A watcher looks at the release file; when it
changes, the new value is made aside and takes the place of the old one in a single assignment. If making it
fails (a corrupt model, a missing index), the old value stays and the failure is counted and shown.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from infra.errors import LabError, UsageError
from infra.registry.release import Release, read_release

T = TypeVar("T")
log = logging.getLogger(__name__)


class ReleaseSlot(Generic[T]):
    """`load` makes the served value from a release; `swapped(ok)` is told of every exchange."""

    def __init__(
        self,
        root: Path,
        load: Callable[[Release], T],
        *,
        swapped: Callable[[bool], None],
        interval_s: float = 1.0,
        may_wait: bool = False,
    ) -> None:
        self._root, self._load, self._swapped, self._interval_s = root, load, swapped, interval_s
        self._may_wait = may_wait
        self._stop = threading.Event()
        self._seen: Release | None = None
        self._value: T | None = None
        self.last_error = ""

    @property
    def value(self) -> T | None:
        """The value being served, or None before the first release was loaded."""
        return self._value

    @property
    def release(self) -> Release | None:
        return self._seen

    def start(self) -> None:
        """Load the current release and watch for the next. Raises what loading the first one raises.

        A slot that may wait starts empty where nothing was built yet, and fills itself when a build ends.
        """
        try:
            self._exchange(read_release(self._root))
        except UsageError as exc:
            if not self._may_wait:
                raise
            self.last_error = str(exc)
            log.warning("%s yet; waiting for one", exc)
        threading.Thread(target=self._watch, name="release-watcher", daemon=True).start()

    def check(self) -> bool:
        """Look once; returns True if a new release is being served now."""
        try:
            release = read_release(self._root)
            if release == self._seen:
                self.last_error = ""  # whatever was refused is not asked for any more
                return False
            self._exchange(release)
        except Exception as exc:  # whatever is wrong with the new one, it must not take the old one with it
            reason = str(exc) or type(exc).__name__
            if reason != self.last_error:
                log.error(
                    "the new release is refused, the old one stays: %s", exc, exc_info=not isinstance(exc, LabError)
                )
                self._swapped(False)
            self.last_error = reason
            return False
        return True

    def close(self) -> None:
        self._stop.set()

    def _exchange(self, release: Release) -> None:
        self._value = self._load(release)
        self._seen, self.last_error = release, ""
        self._swapped(True)
        log.info("serving %s version %s", release.model_name, release.model_version)

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.check()
