"""The value types of the model registry's port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelVersion:
    """One registered model version. `digest` is the SHA-256 of the version's manifest."""

    name: str
    version: int
    digest: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class ListedVersion:
    """A registered version, its aliases, the verdict of the gate, and how far its rollout went; `gate` and `rollout`
    are empty without one."""

    model: ModelVersion
    aliases: tuple[str, ...]
    registered_ts: float
    gate: str
    rollout: str = ""
