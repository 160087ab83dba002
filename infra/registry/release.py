"""Which build a service serves: one small file that names the model, the index and the feature repository.

Written by the last step of a build, so that the three always belong together. `current.json` of the design points
to the build that counts; a running service watches it and swaps. It needs neither the registry nor its client.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import CorruptArtifact, UsageError
from infra.files import write_atomically

FILE = "release.json"
CURRENT = "current.json"


@dataclass(frozen=True)
class Release:
    """Paths are absolute; `naive_path` is a feature repository with item columns, empty if none was built. `world_now`
    is up to when the build knows its world, in seconds since the epoch, UTC; `released_ts` is when it was written."""

    design: str
    model_name: str
    model_version: int
    model_digest: str
    model_path: str
    index_path: str
    features_path: str
    world_now: float
    naive_path: str = ""
    released_ts: float = 0.0

    def write(self, directory: Path) -> None:
        write_atomically(directory / FILE, json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, directory: Path) -> Release:
        """The release that a build's last step wrote."""
        return cls(**json.loads((directory / FILE).read_text()))


def read_release(design_root: Path) -> Release:
    """The release of the current build.

    Raises `UsageError` if nothing was built yet, `CorruptArtifact` if what is there makes no sense.
    """
    name = design_root.name
    try:
        current = json.loads((design_root / CURRENT).read_text())
        return Release.read(Path(current["release"]))
    except FileNotFoundError:
        raise UsageError(f"no build of {name} is there", hint=f"run: lab build {name}") from None
    except (ValueError, KeyError, TypeError) as exc:
        problem = f"{design_root / CURRENT} or the release that it names is invalid: {exc}"
        raise CorruptArtifact(problem, hint=f"run: lab build {name}") from exc
