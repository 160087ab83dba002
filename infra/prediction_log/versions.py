"""Loads the bundles of the model versions that made the logged predictions.

The served version comes from its release, and older versions come from the registry. Each bundle is verified against
the digest in the prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from infra.errors import CorruptArtifact
from infra.registry.port import ModelVersion
from infra.registry.release import Release
from infra.settings import Settings

B = TypeVar("B")


class Made(Protocol):
    """A logged prediction with the version and digest of its model."""

    @property
    def model_version(self) -> str: ...

    @property
    def model_digest(self) -> str: ...


class VersionGone(Exception):
    """The model version is no longer available. The message names the version and the reason."""


class Bundles(Generic[B]):
    """Loads each model version once, with `load(path, digest)`.

    Raises `VersionGone` for an unavailable version, and `RegistryUnavailable` if the registry does not answer.
    """

    def __init__(self, settings: Settings, release: Release, load: Callable[[Path, str], B]) -> None:
        self._settings, self._release, self._load = settings, release, load
        self._loaded: dict[str, B | VersionGone] = {}

    def of(self, prediction: Made) -> B:
        digest = prediction.model_digest
        if digest not in self._loaded:
            try:
                self._loaded[digest] = self._load(self._path(prediction), digest)
            except VersionGone as exc:
                self._loaded[digest] = exc
            except CorruptArtifact as exc:  # damaged, or trained on features that this code does not compute
                self._loaded[digest] = VersionGone(f"model {prediction.model_version} cannot be loaded: {exc}")
        found = self._loaded[digest]
        if isinstance(found, VersionGone):
            raise found
        return found

    def _path(self, prediction: Made) -> Path:
        digest = prediction.model_digest
        if digest == self._release.model_digest:
            return Path(self._release.model_path)
        from infra.registry.mlflow_registry import MlflowRegistry  # takes seconds and is rarely needed

        name, _, version = prediction.model_version.rpartition("/")
        registry = MlflowRegistry(self._settings)
        known = registry.digest_of(name, int(version))
        if known != digest:
            found = "the registry has no such version" if known is None else "the registry has different files for it"
            raise VersionGone(f"model {prediction.model_version} is no longer available: {found}")
        models = self._settings.design_root(self._release.design) / "models"
        return registry.fetch(ModelVersion(name, int(version), digest, {}), models)
