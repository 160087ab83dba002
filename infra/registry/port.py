"""The model registry as the rest of the lab sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ModelVersion:
    """One registered version. `digest` is the SHA-256 of its manifest."""

    name: str
    version: int
    digest: str
    metrics: Mapping[str, float]


class ModelRegistry(Protocol):
    """Raises `RegistryUnavailable` when the registry does not answer."""

    def register(
        self, name: str, directory: Path, *, params: Mapping[str, object], metrics: Mapping[str, float]
    ) -> ModelVersion:
        """Store a directory that has a manifest as a new version."""
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None: ...

    def by_alias(self, name: str, alias: str) -> ModelVersion | None: ...

    def fetch(self, model: ModelVersion, to: Path) -> Path:
        """Download into a directory of its own under `to`, verify, and return it.

        A copy that is there is verified and reused, or replaced if it is damaged.
        """
        ...
