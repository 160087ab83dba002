"""What the feed's networks share: a small multilayer perceptron in Flax that carries its own normalisation."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import onnx
from flax import nnx

from infra.serving.onnx_model import OnnxModel

Floats = npt.NDArray[np.float32]
Order = npt.NDArray[np.intp]


class Mlp(nnx.Module):
    """Two hidden layers. The mean and scale of the training inputs are constants of the network, so that serving
    passes raw features and cannot normalise them differently."""

    def __init__(self, width: int, hidden: int, out: int, inputs: Floats, rngs: nnx.Rngs) -> None:
        self.mean = jnp.asarray(inputs.mean(0))
        self.scale = jnp.asarray(1.0 / (inputs.std(0) + 1e-3))
        self.first = nnx.Linear(width, hidden, rngs=rngs)
        self.second = nnx.Linear(hidden, hidden, rngs=rngs)
        self.last = nnx.Linear(hidden, out, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = (x - self.mean) * self.scale
        x = jax.nn.relu(self.first(x))
        x = jax.nn.relu(self.second(x))
        return self.last(x)


def batches(rng: np.random.Generator, rows: int, size: int) -> Iterator[Order]:
    """A random order of `rows` in batches of exactly `size` (so that jax compiles once); the rest is left out."""
    order = rng.permutation(rows)
    size = min(size, rows)
    for begin in range(0, rows - size + 1, size):
        yield order[begin : begin + size]


def prepare_export() -> threading.Thread:
    """Load the exporter in the background. It compiles some seconds' worth of examples when it is first used, most
    of it outside the interpreter lock, so that training can use the time."""

    def load() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations between the exporter and Flax
            from jax2onnx import to_onnx

            to_onnx(lambda x: x * 2.0, inputs=[("n", 1)])

    thread = threading.Thread(target=load, name="prepare-export", daemon=True)
    thread.start()
    return thread


def export(function: Callable[[jax.Array], jax.Array], width: int, path: Path, sample: Floats) -> float:
    """Write `function` (float32[n, width] -> …) as ONNX; returns the largest difference to jax on `sample`.

    Raises `ValueError` when the exported network computes something else.
    """
    from jax2onnx import to_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = to_onnx(function, inputs=[("n", width)])
    onnx.save(model, str(path))
    difference = float(np.abs(OnnxModel(path, width=width)(sample) - np.asarray(function(jnp.asarray(sample)))).max())
    if not difference < 1e-4:
        raise ValueError(f"{path.name} differs from the trained network by {difference}")
    return difference
