"""The trained networks of one model version, as files. `offline.train` writes them; offline and online code read them.

The networks share a version because they only work together. A service that starts without an older version can run
without the rankers and marks each response as degraded. It cannot run without the post embeddings or the catalogue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feed_ranking.config import ObjectiveConfig
from feed_ranking.domain import Floats
from feed_ranking.model.inputs import LIGHT_NAMES, Priors, priors_from, ranker_names
from infra.errors import CorruptArtifact
from infra.registry.manifest import Manifest, is_whole, verify
from infra.serving.onnx_model import MissingModel, OnnxModel

FETCH_AGAIN = "run: lab build feed_ranking --from release"
NETWORKS = ("user_tower", "post_tower", "light", "heavy")
PORTS = {"user_tower": "user_tower", "post_tower": "post_tower", "light": "light_ranker", "heavy": "heavy_ranker"}
"""Network -> the name of its port in faults and in degradation reasons."""
Network = Callable[[Floats], Floats]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """`light` and `heavy` float32[n, inputs] -> float32[n, 4]: p(click | examined), and given a click p(like),
    p(comment), expected dwell in seconds. The towers return float32[n, dimension]."""

    user_tower: Network
    post_tower: Network
    light: Network
    heavy: Network
    priors: Priors
    light_columns: list[int]
    meta: Mapping[str, Any]
    digest: str


def load_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Verify every byte, then load. Raises `CorruptArtifact`, also if the model was trained on other features than
    this code computes."""
    return _bundle(path, verify(path, digest=digest, hint=FETCH_AGAIN))


def load_intact_networks(path: Path, digest: str, priors: Priors) -> Bundle:
    """Like `load_bundle`, but replaces each damaged network with one that raises `ModelUnavailable` at each use.

    For a service that has no older version to keep serving. `priors` apply if the manifest itself is damaged.
    """
    try:
        return _bundle(path, verify(path, digest=digest, skip=[f"{name}.onnx" for name in NETWORKS]))
    except CorruptArtifact as exc:
        why = str(exc)
        log.error("starting without any network: %s", why)
        missing = {name: MissingModel(PORTS[name], why) for name in NETWORKS}
        return Bundle(**missing, priors=priors, light_columns=[0], meta={}, digest=digest)


def _bundle(path: Path, manifest: Manifest) -> Bundle:
    meta = manifest.meta
    try:
        priors = priors_from(meta)
        names = ranker_names(priors.topics)
        fits = tuple(meta["ranker_inputs"]) == names and tuple(meta["light_inputs"]) == LIGHT_NAMES
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise CorruptArtifact(
            f"the model in {path} was trained on other features than this code computes",
            hint="run: lab build feed_ranking",
        )
    networks: dict[str, Network] = {}
    for name in NETWORKS:
        if is_whole(path, manifest, f"{name}.onnx"):
            networks[name] = OnnxModel(path / f"{name}.onnx", width=meta["widths"][name])
        else:
            why = f"{path / name}.onnx is missing or does not match its SHA-256"
            log.error("starting without %s: %s", name, why)
            networks[name] = MissingModel(PORTS[name], why)
    columns = [names.index(name) for name in LIGHT_NAMES]
    return Bundle(**networks, priors=priors, light_columns=columns, meta=meta, digest=manifest.digest)


def worth_s(heads: Floats, objective: ObjectiveConfig) -> Floats:
    """float32[n]: expected seconds of attention of an examined impression, for `heads` float32[n, 4] of a ranker."""
    given_click = (
        objective.click_weight
        + objective.like_weight * heads[:, 1]
        + objective.comment_weight * heads[:, 2]
        + objective.dwell_weight * heads[:, 3]
    )
    return np.asarray(heads[:, 0] * given_click, np.float32)
