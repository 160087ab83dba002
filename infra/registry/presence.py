"""Does the registry still hold what a training registered? Asked before a build; light where there is no server."""

from __future__ import annotations

import json
from pathlib import Path

from infra.settings import Settings


def has_model(output: Path, settings: Settings) -> bool:
    """Whether the registry still holds the version that a training wrote to `registered.json` in `output`."""
    if settings.registry_uri is None:
        return True  # the embedded registry lies in the same home
    from infra.registry.mlflow_registry import MlflowRegistry  # seconds, which a build that skips all must not pay

    registered = json.loads((output / "registered.json").read_text())
    digest = MlflowRegistry(settings).digest_of(registered["name"], registered["version"])
    return digest is not None and digest == str(registered["digest"])
