"""Holds the served release and replaces it while requests run; beside it, the challenger of a rollout.

A service holds one immutable value created from one release. A watcher polls the release file. On a change, the slot
loads the new value and replaces the old one in a single assignment. If the load fails (a corrupt model, a missing
index), the slot keeps the old value, counts the failure and reports it in `last_error`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from infra.errors import LabError, UsageError
from infra.registry.release import Release, read_release
from infra.serving.challenger import ChallengerSlot

T = TypeVar("T")
log = logging.getLogger(__name__)


class ReleaseSlot(Generic[T]):
    """`load` creates the served value from a release. The slot calls `swapped(ok)` after every attempt. `challenger`
    follows the rollout (`infra.serving.challenger`)."""

    def __init__(
        self,
        root: Path,
        load: Callable[[Release], T],
        *,
        swapped: Callable[[bool], None],
        challenger: ChallengerSlot[T] | None = None,
        looked: Callable[[], None] = lambda: None,
        interval_s: float = 1.0,
        may_wait: bool = False,
    ) -> None:
        self._root, self._load, self._swapped, self._interval_s = root, load, swapped, interval_s
        self._may_wait, self.challenger, self._looked = may_wait, challenger, looked
        self._stop = threading.Event()
        self._seen: Release | None = None
        self._value: T | None = None
        self.last_error = ""

    @property
    def value(self) -> T | None:
        """The served value, or None before the first release is loaded."""
        return self._value

    @property
    def release(self) -> Release | None:
        return self._seen

    @property
    def values(self) -> tuple[T, ...]:
        """The loaded values: the served one, and the challenger's."""
        trial = self.challenger.trial if self.challenger else None
        return tuple(value for value in (self._value, trial.value if trial else None) if value is not None)

    def value_for(self, unit: int) -> T | None:
        """The value that answers this user: the challenger's for the users of its canary, else the served one."""
        trial = self.challenger.trial if self.challenger else None
        return trial.value if trial is not None and trial.takes(unit) else self._value

    def start(self) -> None:
        """Load the current release and start the watcher. Errors of the first load propagate.

        With `may_wait`, a slot without a release starts empty, and the watcher loads the first release after a build.
        """
        try:
            self._exchange(read_release(self._root))
        except UsageError as exc:
            if not self._may_wait:
                raise
            self.last_error = str(exc)
            log.warning("%s; waiting for a build", exc)
        if self.challenger:
            self.challenger.check(self._seen)
        threading.Thread(target=self._watch, name="release-watcher", daemon=True).start()

    def check(self) -> bool:
        """Read the release file once. Returns True if the slot loaded a new release."""
        try:
            release = read_release(self._root)
            if release == self._seen:
                self.last_error = ""  # the refused release is no longer current
                return False
            self._exchange(release)
        except Exception as exc:  # no failure of the new release may stop the old one
            reason = str(exc) or type(exc).__name__
            if reason != self.last_error:
                log.error(
                    "cannot load the new release, the old one keeps serving: %s",
                    exc,
                    exc_info=not isinstance(exc, LabError),
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
            try:
                if self.challenger:
                    self.challenger.check(self._seen)
                self._looked()
            except Exception:  # such as a full disk; the next round tries again
                log.exception("cannot follow the rollout")
