"""The trained networks of one model version, as files: written by `offline.train`, read by both wings.

They are one version because they only work together. A service that starts without an older version may do without
the rankers, and says so in each answer; it cannot do without the towers' embeddings, nor without the catalogue.
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
"""Network -> the name of its port, in faults and in reasons."""
Network = Callable[[Floats], Floats]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """`light` and `heavy` float32[n, inputs] -> float32[n, 4]: p(click | looked at), and given a click p(like),
    p(comment), expected dwell in seconds. The towers give float32[n, dimension]."""

    user_tower: Network
    post_tower: Network
    light: Network
    heavy: Network
    priors: Priors
    light_columns: list[int]
    meta: Mapping[str, Any]
    digest: str


def load_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Verify every byte, then load. Raises `CorruptArtifact`, also when the code's features are not the model's."""
    return _bundle(path, verify(path, digest=digest, hint=FETCH_AGAIN))


def load_what_is_whole(path: Path, digest: str, priors: Priors) -> Bundle:
    """As `load_bundle`, but in place of each network that must be refused stands one that says so at each use.

    For a service that has nothing older to go on with. `priors` are used when not even the manifest can be trusted.
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
    """float32[n]: expected seconds of attention from one look, for `heads` float32[n, 4] of a ranker."""
    given_click = (
        objective.click_weight
        + objective.like_weight * heads[:, 1]
        + objective.comment_weight * heads[:, 2]
        + objective.dwell_weight * heads[:, 3]
    )
    return np.asarray(heads[:, 0] * given_click, np.float32)
