"""Holds the service of a rollout's challenger beside the champion's, and decides which users get it.

The slot reads `rollout.json` (`infra.registry.rollout`) once a second, so that every replica follows a change within
seconds. A request chooses its service once and uses nothing of the other one. The challenger reads the same feature
rows as the champion: the worker refreshes one feature store, and only the model and its snapshot are on trial.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from infra.errors import LabError
from infra.registry.release import Release
from infra.registry.rollout import Rollout, read_rollout
from infra.registry.split import is_canary

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial(Generic[T]):
    """A loaded challenger and the state of its rollout."""

    rollout: Rollout
    value: T

    def takes(self, unit: int) -> bool:
        """True if the challenger answers this user."""
        return self.rollout.stage == "canary" and is_canary(unit, self.rollout.digest, self.rollout.share)


class ChallengerSlot(Generic[T]):
    """`load` creates the challenger's service from its release. `begun(digest)` is called when a trial begins."""

    def __init__(self, root: Path, load: Callable[[Release], T], begun: Callable[[str], None]) -> None:
        self._root, self._load, self._begun = root, load, begun
        self._refused = ""
        """the release that cannot be loaded"""
        self.trial: Trial[T] | None = None
        self.last_error = ""

    def check(self, served: Release | None) -> None:
        """Follow the rollout file. `served` is the champion's release, whose feature rows the challenger reads.

        A challenger that cannot be loaded leaves the champion alone; the error is in `last_error`, and the monitor
        takes the challenger back.
        """
        rollout, now = read_rollout(self._root), self.trial
        if not rollout.is_active or served is None or served.model_digest == rollout.digest:
            if now is not None:
                log.info("version %d is no longer a challenger", now.rollout.version)
            self.trial, self._refused, self.last_error = None, "", ""
            return
        if now is not None and now.rollout.release == rollout.release:
            if now.rollout.number != rollout.number:
                self.trial = Trial(rollout, now.value)
            return
        if self._refused != rollout.release:
            self._begin(rollout, served)

    def _begin(self, rollout: Rollout, served: Release) -> None:
        self._begun(rollout.digest)
        try:
            release = Release.read(Path(rollout.release))
            value = self._load(replace(release, features_path=served.features_path, naive_path=served.naive_path))
        except Exception as exc:  # the champion serves on, whatever is wrong with the challenger
            self._refused, self.last_error, self.trial = rollout.release, str(exc) or type(exc).__name__, None
            log.error("cannot load the challenger: %s", exc, exc_info=not isinstance(exc, LabError))
            return
        self.trial, self.last_error = Trial(rollout, value), ""
        log.info("version %d is the challenger", rollout.version)
