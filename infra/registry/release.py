"""The release file of a build: names the model, the item snapshot and the feature repository that a service loads.

The last step of a build writes the release file, so that all three come from one build. A design's `current.json` names
the current build. A running service watches `current.json` and swaps, without the registry or MLflow.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import CorruptArtifact, UsageError
from infra.files import write_atomically

FILE = "release.json"
CURRENT = "current.json"
PREVIOUS = "previous.json"
"""the outputs of the build before the current one, for a rollback"""


@dataclass(frozen=True)
class Release:
    """A release. All paths are absolute.

    `naive_path` is a feature repository with item columns, and is empty if none was built. `world_now` is the time up
    to which the build has read the logs; `released_ts` is the time of writing. Both are seconds since the epoch, UTC.
    """

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
        """Read the release that a build's last step wrote to `directory`."""
        return cls(**json.loads((directory / FILE).read_text()))


def read_release(design_root: Path) -> Release:
    """Read the release of the current build.

    Raises `UsageError` if the design has no build, and `CorruptArtifact` if a file is invalid.
    """
    name = design_root.name
    try:
        current = json.loads((design_root / CURRENT).read_text())
        return Release.read(Path(current["release"]))
    except FileNotFoundError:
        raise UsageError(f"{name} has not been built", hint=f"run: lab build {name}") from None
    except (ValueError, KeyError, TypeError) as exc:
        problem = f"{design_root / CURRENT} or the release that it names is invalid: {exc}"
        raise CorruptArtifact(problem, hint=f"run: lab build {name}") from exc
