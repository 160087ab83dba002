"""The rollout of a design: one challenger on its way from shadow over canary to champion, as a small file.

`rollout.json` in the design's folder is the only place of this state. The monitor, the commands and the end of a build
change it; each replica of the service reads it once a second. Each change replaces the file as a whole, under a lock,
and only if the file still has the number that the writer has read. Two writers can therefore not undo each other's
change, and a process that dies leaves the old state or the new one.

The registry's aliases follow the file (`infra.registry.aliases`). A service needs the file alone.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from infra.files import write_atomically

FILE = "rollout.json"
MOST_REJECTED = 50
"""digests of models that are remembered as rejected"""

Stage = Literal["none", "shadow", "canary", "promoted", "rolled back", "stopped"]
ACTIVE: tuple[Stage, ...] = ("shadow", "canary")


@dataclass(frozen=True)
class Rollout:
    """`number` counts the changes of the file. `share` in [0, 1] is that of requests in the shadow, or of the canary's
    users.

    `version` and `digest` name the challenger's model, `release` the folder of its release, `paths` the outputs of its
    build (step -> folder). `before` is the version of the champion at the start. `began` and `since` are the times at
    which the rollout and its present stage began, in seconds since the epoch. `rejected` maps the digest of a bad model
    to the reason.
    """

    number: int = 0
    stage: Stage = "none"
    share: float = 0.0
    version: int = 0
    digest: str = ""
    release: str = ""
    paths: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    before: int = 0
    began: float = 0.0
    since: float = 0.0
    reason: str = ""
    rejected: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_active(self) -> bool:
        return self.stage in ACTIVE

    def row(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {item.name: getattr(self, item.name) for item in fields(self)} | {
            "paths": dict(self.paths),
            "rejected": dict(self.rejected),
        }

    def moved(self, stage: Stage, *, share: float = 0.0, reason: str = "") -> Rollout:
        """The state in another stage, from now on."""
        return replace(self, stage=stage, share=share, since=time.time(), reason=reason)

    def rejecting(self, digest: str, reason: str) -> Rollout:
        """The state that also remembers a bad model. The oldest entries are forgotten."""
        kept = {name: why for name, why in self.rejected.items() if name != digest} | {digest: reason}
        return replace(self, rejected=dict(list(kept.items())[-MOST_REJECTED:]))

    def accepting(self, digest: str) -> Rollout:
        """The state in which the model is not rejected."""
        return replace(self, rejected={name: why for name, why in self.rejected.items() if name != digest})


def rollout_file(root: Path) -> Path:
    return root / FILE


def read_rollout(root: Path) -> Rollout:
    """The state in the design's folder `root`; the stage "none" without a file, or with a damaged one."""
    try:
        found = json.loads(rollout_file(root).read_text())
        known = {item.name for item in fields(Rollout)}
        return Rollout(**{name: value for name, value in found.items() if name in known})
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return Rollout()


def write_rollout(root: Path, read: Rollout, changed: Rollout) -> Rollout | None:
    """Replace the state `read` by `changed`, and return what was written. None if another writer was first."""
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        if read_rollout(root).number != read.number:
            return None
        written = replace(changed, number=read.number + 1)
        write_atomically(rollout_file(root), json.dumps(written.row(), indent=2))
        return written


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / "rollout.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Lease:
    """The right to move rollouts on. One process at a time holds it; the system takes it back when the process ends."""

    def __init__(self, root: Path) -> None:
        self._path = root / "rollout.lease"
        self._file: Any = None

    def take(self) -> bool:
        """True if this process holds the lease."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def give_back(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
