"""Trained weights as arrays beside the bundle of a training, and a later training that starts from them.

A training writes `weights.npz` in the output of its step. The next one may start from the weights of the served model
(knob `warm_start`), if its networks have the same shapes. It then depends on what is served, which is no part of a
step's fingerprint: a build that runs again after another release gives other models. A build as of a date starts cold.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from flax import nnx

from infra.build.fingerprints import current_output
from infra.build.runner import StepContext
from infra.errors import LabError
from infra.registry.release import read_release

FILE = "weights.npz"
Weights = Mapping[str, npt.NDArray[Any]]
EMPTY: Weights = MappingProxyType({})


def write_weights(out: Path, models: Mapping[str, nnx.Module]) -> None:
    """Write the trained weights of `models`, named by model and by the path of the weight."""
    arrays: dict[str, Any] = {
        f"{name}{key}": value for name, model in models.items() for key, value in _named(model).items()
    }
    np.savez(out / FILE, **arrays)


def served_weights(context: StepContext, step: str = "train") -> Weights:
    """The weights of the served model; empty without one, or if its training wrote none."""
    root = context.settings.design_root(context.design.name)
    if context.design.as_of:
        return {}
    try:
        trained = current_output(root, step)
        registered = json.loads((trained / "registered.json").read_text())
        if registered["digest"] != read_release(root).model_digest:
            return {}
        with np.load(trained / FILE, allow_pickle=False) as stored:
            return dict(stored)
    except (LabError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}


def start_from(model: nnx.Module, name: str, weights: Weights) -> bool:
    """Give `model` the weights under `name`. Does nothing and returns False if one is missing or of another shape."""
    own = _named(model)
    found = {key: weights.get(f"{name}{key}") for key in own}
    if any(value is None or value.shape != own[key].shape for key, value in found.items()):
        return False
    state = nnx.state(model, nnx.Param)
    paths, structure = jax.tree_util.tree_flatten_with_path(state)
    values = [jax.numpy.asarray(found[jax.tree_util.keystr(path)]) for path, _ in paths]
    nnx.update(model, jax.tree_util.tree_unflatten(structure, values))
    return True


def _named(model: nnx.Module) -> dict[str, npt.NDArray[Any]]:
    """The weights by the path in the model."""
    paths, _ = jax.tree_util.tree_flatten_with_path(nnx.state(model, nnx.Param))
    return {jax.tree_util.keystr(path): np.asarray(value) for path, value in paths}
