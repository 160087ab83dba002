"""Checks before a build whether the registry still holds the model that the training step registered.

Without a registry server, the check imports nothing heavy.
"""

from __future__ import annotations

import json
from pathlib import Path

from infra.settings import Settings


def has_model(output: Path, settings: Settings) -> bool:
    """True if the registry still holds the version that training recorded in `registered.json` in `output`.

    Raises `RegistryUnavailable` if the registry server does not answer.
    """
    if settings.registry_uri is None:
        return True  # the embedded registry is in the same home directory as the build
    from infra.registry.mlflow_registry import MlflowRegistry  # takes seconds; a build without a server avoids it

    registered = json.loads((output / "registered.json").read_text())
    digest = MlflowRegistry(settings).digest_of(registered["name"], registered["version"])
    return digest is not None and digest == str(registered["digest"])
