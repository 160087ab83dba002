"""Network code that all designs share: a multilayer perceptron in Flax with built-in normalisation."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from infra.training.onnx_graph import OnnxGraph

M = TypeVar("M", bound=nnx.Module)
Floats = npt.NDArray[np.float32]
FARTHEST = 6.0
"""limit of normalised inputs in standard deviations; clipping bounds the effect of values unseen in training"""


class Mlp(nnx.Module):
    """Hidden ReLU layers, plus a linear layer from inputs to outputs (wide and deep: Cheng et al., DLRS 2016).

    The linear layer learns linear effects from less data. The mean and scale of the training inputs are constants of
    the network. Serving therefore passes raw features and cannot normalise them differently.
    """

    def __init__(self, inputs: Floats, hidden: Sequence[int], out: int, rngs: nnx.Rngs) -> None:
        self.mean = inputs.mean(0)
        self.scale = np.float32(1.0) / (inputs.std(0) + np.float32(1e-3))
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

    def nodes(self, graph: OnnxGraph, x: str) -> str:
        """The same computation in ONNX."""
        x = graph.add("Mul", graph.add("Sub", x, graph.weight(self.mean)), graph.weight(self.scale))
        x = deep = graph.add("Clip", x, graph.weight(-FARTHEST), graph.weight(FARTHEST))
        for layer in self.hidden:
            deep = graph.add("Relu", linear(graph, deep, layer))
        return graph.add("Add", linear(graph, deep, self.last), linear(graph, x, self.wide))


def linear(graph: OnnxGraph, x: str, layer: nnx.Linear) -> str:
    """A linear layer in ONNX."""
    weights = [layer.kernel[...]] + ([] if layer.bias is None else [layer.bias[...]])
    return graph.add("Gemm", x, *map(graph.weight, weights))


def created(make: Callable[[nnx.Rngs], M], seed: int) -> M:
    """The network that `make` creates. All random weights come from one compiled function; without it JAX compiles a
    function for each shape of a weight.

    The seed is an argument of that function, and what `make` computes with NumPy stays out of it. So networks of equal
    shapes share it, and a build compiles it once.
    """
    parts: list[Any] = []

    def weights(key: jax.Array) -> Any:
        structure, drawn, rest = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        parts[:] = structure, rest
        return drawn

    drawn = jax.jit(weights)(jax.random.key(seed))
    structure, rest = parts
    found: M = nnx.merge(structure, drawn, rest)
    return found


def keep_compiled(home: Path) -> None:
    """Keep every compiled function under `home` for later processes, unless `JAX_COMPILATION_CACHE_DIR` is set.

    By default JAX keeps only functions that take a second to compile. A training compiles over 100 smaller ones, which
    take longer than the training itself on a small world.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(home.resolve() / ".jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
