"""Network code that all designs share: a multilayer perceptron in Flax with built-in normalisation, and ONNX
export."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import onnx
from flax import nnx

from infra.serving.onnx_model import OnnxModel

Floats = npt.NDArray[np.float32]
UNUSED_PLUGINS = ("equinox", "examples", "dm_pix")
"""packages of the exporter's plugins for libraries that no design uses"""
FARTHEST = 6.0
"""limit of normalised inputs in standard deviations; clipping bounds the effect of values unseen in training"""


class Mlp(nnx.Module):
    """Hidden ReLU layers, plus a linear layer from inputs to outputs (wide and deep: Cheng et al., DLRS 2016).

    The linear layer learns linear effects from less data. The mean and scale of the training inputs are constants of
    the network. Serving therefore passes raw features and cannot normalise them differently.
    """

    def __init__(self, inputs: Floats, hidden: Sequence[int], out: int, rngs: nnx.Rngs) -> None:
        self.mean = jnp.asarray(inputs.mean(0))
        self.scale = jnp.asarray(1.0 / (inputs.std(0) + 1e-3))
        widths = [inputs.shape[1], *hidden]
        self.hidden = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(widths)])
        self.last = nnx.Linear(widths[-1], out, rngs=rngs)
        self.wide = nnx.Linear(widths[0], out, use_bias=False, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.clip((x - self.mean) * self.scale, -FARTHEST, FARTHEST)
        deep = x
        for layer in self.hidden:
            deep = jax.nn.relu(layer(deep))
        return self.last(deep) + self.wide(x)


def keep_compiled(home: Path) -> None:
    """Keep every compiled function under `home` for later processes, unless `JAX_COMPILATION_CACHE_DIR` is set.

    By default JAX keeps only functions that take a second to compile. A training compiles over 100 smaller ones, which
    take longer than the training itself on a small world.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(home.resolve() / ".jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def prepare_export() -> threading.Thread:
    """Import the exporter's plugins in a background thread, because the import takes seconds.

    The thread does not export, because an export replaces jax functions for all threads of the process.
    """
    thread = threading.Thread(target=import_plugins, name="prepare-export", daemon=True)
    thread.start()
    return thread


@cache
def import_plugins() -> None:
    """Import the exporter's plugins, but not those in `UNUSED_PLUGINS`.

    The exporter imports every file of its package `plugins` at the first export. The unused ones compile examples of
    other libraries for 10 CPU-seconds. A module that is listed in `sys.modules` counts as imported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings of the exporter and Flax
        from jax2onnx.plugins import plugin_system

        root = Path(plugin_system.__file__).parent
        for file in (found for name in UNUSED_PLUGINS for found in (root / name).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            name = ".".join(["jax2onnx.plugins", *parts]).removesuffix(".__init__")
            sys.modules.setdefault(name, ModuleType(name))
        plugin_system.import_all_plugins()


def export(function: Callable[[jax.Array], jax.Array], width: int, path: Path, sample: Floats) -> float:
    """Write `function` (float32[n, width] -> …) as ONNX. Returns the largest relative difference to jax on `sample`.

    Raises `ValueError` if the difference is not below 1e-4.
    """
    from jax2onnx import to_onnx

    import_plugins()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = to_onnx(function, inputs=[("n", width)])
    onnx.save(model, str(path))
    expected = np.asarray(jax.jit(function)(jnp.asarray(sample)))  # compiled as a whole, not one operation at a time
    difference = float((np.abs(OnnxModel(path, width=width)(sample) - expected) / (1 + np.abs(expected))).max())
    if not difference < 1e-4:
        raise ValueError(f"{path.name} differs from the trained network by {difference}")
    return difference
