"""The trained networks of one model version, as files: written by `offline.train`, read by both wings.

Ranker and towers are one version because they only work together: the ranker reads the towers' score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feed_ranking.features import RANKER_INPUTS
from infra.errors import CorruptArtifact
from infra.registry.manifest import verify
from infra.serving.onnx_model import OnnxModel

FETCH_AGAIN = "run: lab build feed_ranking --from release"


@dataclass(frozen=True)
class Bundle:
    """`ranker` float32[n, inputs] -> p(click | looked at)[n]; the towers give unit vectors float32[n, dimension]."""

    ranker: OnnxModel
    user_tower: OnnxModel
    post_tower: OnnxModel
    meta: Mapping[str, Any]
    digest: str


def load_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Verify every byte, then load. Raises `CorruptArtifact`, also when the code's features are not the model's."""
    manifest = verify(path, digest=digest, hint=FETCH_AGAIN)
    meta = manifest.meta
    if tuple(meta.get("ranker_inputs", ())) != RANKER_INPUTS:
        raise CorruptArtifact(
            f"the model in {path} was trained on other features than this code computes",
            hint="run: lab build feed_ranking",
        )
    return Bundle(
        ranker=OnnxModel(path / "ranker.onnx", width=len(RANKER_INPUTS)),
        user_tower=OnnxModel(path / "user_tower.onnx", width=meta["user_tower_inputs"]),
        post_tower=OnnxModel(path / "post_tower.onnx", width=meta["post_tower_inputs"]),
        meta=meta,
        digest=manifest.digest,
    )
