"""Sets the registry's aliases to what the files of a design say: champion, previous, shadow and canary.

The files decide which model serves, so a registry that does not answer delays only what `lab models` shows. The number
of the rollout's state that the registry has last seen is kept beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from infra.errors import LabError, UsageError
from infra.files import write_atomically
from infra.registry.release import PREVIOUS, Release, read_release
from infra.registry.rollout import Rollout, read_rollout
from infra.settings import Settings

SEEN: Final = "registry.json"
FOLDER: Final = "rollout"
OF_FILES: Final = ("champion", "previous", "shadow", "canary")


def is_behind(root: Path, rollout: Rollout) -> bool:
    """True if the registry has not been told of the rollout's present state."""
    try:
        return int(json.loads((root / FOLDER / SEEN).read_text())["number"]) != rollout.number
    except (OSError, ValueError, KeyError, TypeError):
        return rollout.number > 0


def set_aliases(settings: Settings, design_name: str) -> None:
    """Make the aliases agree with the files, and keep a rejected version's reason as a tag. Raises
    `RegistryUnavailable` if the registry does not answer."""
    from infra.registry.mlflow_registry import MlflowRegistry  # takes seconds

    root = settings.design_root(design_name)
    rollout, model = read_rollout(root), f"{design_name}-{settings.preset}"
    registry = MlflowRegistry(settings)
    wanted = _wanted(root, rollout)
    for alias in OF_FILES:
        found = registry.by_alias(model, alias)
        version = wanted.get(alias)
        if version is None and found is not None:
            registry.delete_alias(model, alias)
        elif version is not None and (found is None or found.version != version):
            registry.set_alias(model, alias, version)
    if rollout.version:
        share = f" to {rollout.share:.0%} of users" if rollout.stage == "canary" else ""
        reason = f": {rollout.reason}" if rollout.reason else ""
        registry.set_rollout(model, rollout.version, f"{rollout.stage}{share}{reason}")
    write_atomically(root / FOLDER / SEEN, json.dumps({"number": rollout.number}))


def name_champion(settings: Settings, release: Release) -> None:
    """Set the alias champion on the model of `release`. Raises `RegistryUnavailable` like `set_aliases`."""
    from infra.registry.mlflow_registry import MlflowRegistry  # takes seconds

    registry = MlflowRegistry(settings)
    found = registry.by_alias(release.model_name, "champion")
    if found is None or found.version != release.model_version:
        registry.set_alias(release.model_name, "champion", release.model_version)


def _wanted(root: Path, rollout: Rollout) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        found["champion"] = read_release(root).model_version
    except UsageError:
        return found
    before = _previous(root)
    if before and before.model_digest not in rollout.rejected and before.model_version != found["champion"]:
        found["previous"] = before.model_version
    if rollout.is_active:
        found[rollout.stage] = rollout.version
    return found


def _previous(root: Path) -> Release | None:
    """The release before the current one."""
    try:
        paths = json.loads((root / PREVIOUS).read_text())
        return Release.read(Path(paths["release"]))
    except (OSError, ValueError, KeyError, TypeError, LabError):
        return None
