"""A small network for P10, P50 and P90 of actual over corrected time, whose outputs cannot cross.

The median is one output; a positive output is subtracted for P10, and another one is added for P90. P10 and P90 have
the pinball loss. The loss of the median is that of the knob `loss`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import Floats
from infra.progress import Progress
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import FARTHEST, Mlp, created
from infra.training.onnx_graph import OnnxGraph

MEDIAN_SCALE, SIDE_SCALE = 0.3, 0.2
SHARES = np.array([[MEDIAN_SCALE] * 3, [-SIDE_SCALE, 0, 0], [0, 0, SIDE_SCALE]])
"""how the median and the two sides (rows) add up to P10, P50 and P90 (columns)"""
LATE_WEIGHT, NARROW = 2.0, 0.1
"""asymmetric Huber loss: a late trip counts so much more than an early one; errors below `NARROW` count as squares"""
LEAST_RATIO, MOST_RATIO = 0.2, 4.0
PREDICTED_AT_ONCE = 20_000


class QuantileNet(nnx.Module):
    """`hidden_inputs` are the numbers of inputs that the network must not see."""

    def __init__(
        self, inputs: Floats, hidden: tuple[int, ...], rngs: nnx.Rngs, hidden_inputs: Collection[int] = ()
    ) -> None:
        self.seen = (~np.isin(np.arange(inputs.shape[1]), list(hidden_inputs))).astype(np.float32)
        self.mlp = Mlp(inputs * self.seen, hidden, len(LEVELS), rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32[n, 3], ascending."""
        middle, below, above = jnp.split(self.mlp(x * self.seen), len(LEVELS), axis=1)
        middle = 1.0 + MEDIAN_SCALE * middle
        low, high = (SIDE_SCALE * jax.nn.softplus(side) for side in (below, above))
        return jnp.concatenate([middle - low, middle, middle + high], axis=1)


def absolute(error: jax.Array) -> jax.Array:
    return 0.5 * jnp.abs(error)


def squared(error: jax.Array) -> jax.Array:
    """The median becomes the mean."""
    return error**2


def asymmetric_huber(error: jax.Array) -> jax.Array:
    """The median becomes a time that fewer trips exceed. `error` is actual minus predicted."""
    size = jnp.abs(error)
    huber = jnp.where(size < NARROW, 0.5 * size**2 / NARROW, size - 0.5 * NARROW)
    return jnp.where(error > 0, LATE_WEIGHT, 1.0) * 0.5 * huber


LOSSES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "absolute": absolute,
    "squared": squared,
    "asymmetric_huber": asymmetric_huber,
}


def fit_net(
    x: Floats,
    ratio: Array,
    loss: str,
    hidden: tuple[int, ...],
    plan: Plan,
    report: Progress,
    hidden_inputs: Collection[int] = (),
) -> Fit[QuantileNet]:
    """`x` float32[n, inputs], `ratio` float64[n]: actual over corrected time. Every trip counts the same."""
    rows = {"x": x, "ratio": np.clip(ratio, LEAST_RATIO, MOST_RATIO).astype(np.float32)}
    net = created(lambda rngs: QuantileNet(x, hidden, rngs, hidden_inputs), plan.seed)
    return fit(net, mean_loss(loss), rows, plan, report)


@cache
def mean_loss(loss: str) -> Callable[[QuantileNet, Batch], jax.Array]:
    """The loss of a batch, with `loss` for the median. It is the same function at each call, so trainings share what
    JAX compiles."""
    of_median, levels = LOSSES[loss], (LEVELS[0], LEVELS[2])

    def of_batch(model: QuantileNet, batch: Batch) -> jax.Array:
        error = batch["ratio"][:, None] - model(batch["x"])
        outer, sides = error[:, jnp.array([0, 2])], jnp.asarray(levels)
        pinball = jnp.maximum(sides * outer, (sides - 1) * outer).sum(axis=1)
        return (pinball + of_median(error[:, 1])).mean()

    return of_batch


def mean_of(models: Sequence[QuantileNet]) -> Callable[[jax.Array], jax.Array]:
    """The mean of the outputs of several networks, as one network. Ascending outputs have an ascending mean."""

    def network(x: jax.Array) -> jax.Array:
        found = models[0](x)
        for model in models[1:]:
            found = found + model(x)
        return found / len(models)

    return network


def mean_nodes(models: Sequence[QuantileNet], graph: OnnxGraph, x: str) -> str:
    """`mean_of` in ONNX. All networks are computed at once, with an axis of networks before the axis of rows."""
    mlps = [model.mlp for model in models]

    def stacked(values: Sequence[jax.Array]) -> str:
        found = np.stack([np.asarray(value) for value in values])
        return graph.weight(found[:, None] if found.ndim == 2 else found)

    def layer(x: str, layers: Sequence[nnx.Linear]) -> str:
        product = graph.add("MatMul", x, stacked([layer.kernel[...] for layer in layers]))
        return graph.add("Add", product, stacked([layer.bias[...] for layer in layers]))

    x = graph.add("Sub", x, stacked([mlp.mean for mlp in mlps]))
    x = graph.add("Mul", x, stacked([mlp.scale * model.seen for mlp, model in zip(mlps, models, strict=True)]))
    x = deep = graph.add("Clip", x, graph.weight(-FARTHEST), graph.weight(FARTHEST))
    for number in range(len(mlps[0].hidden)):
        deep = graph.add("Relu", layer(deep, [mlp.hidden[number] for mlp in mlps]))
    wide = graph.add("MatMul", x, stacked([mlp.wide.kernel[...] for mlp in mlps]))
    out = graph.add("Add", layer(deep, [mlp.last for mlp in mlps]), wide)
    middle, sides = graph.add_all("Split", 2, out, graph.weight([1, 2], np.int64), axis=2)
    parts = graph.add("Concat", middle, graph.add("Softplus", sides), axis=2)
    mean = graph.add("ReduceMean", parts, axes=[0], keepdims=0)
    return graph.add("Gemm", mean, graph.weight(SHARES), graph.weight(np.ones(len(LEVELS))))


def predict_net(model: QuantileNet, x: Floats) -> Floats:
    """float32[n, 3]"""
    structure, weights = nnx.split(model)
    parts = np.array_split(x, -(-len(x) // PREDICTED_AT_ONCE) or 1)
    return np.concatenate([np.asarray(_predict(structure, weights, jnp.asarray(part))) for part in parts])


@partial(jax.jit, static_argnums=0)
def _predict(structure: Any, weights: nnx.State, x: jax.Array) -> jax.Array:
    found: jax.Array = nnx.merge(structure, weights)(x)
    return found
