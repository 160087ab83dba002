"""The model registry as the rest of the lab sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelVersion:
    """One registered version. `digest` is the SHA-256 of its manifest."""

    name: str
    version: int
    digest: str
    metrics: Mapping[str, float]
