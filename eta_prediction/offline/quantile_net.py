"""A small network for P10, P50 and P90 of actual over corrected time, whose outputs cannot cross.

The median is one output; two positive ones are added and subtracted. The loss is the pinball loss in seconds: a row
counts with its base time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import Floats
from infra.progress import Progress
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import Mlp


class QuantileNet(nnx.Module):
    def __init__(self, inputs: Floats, hidden: tuple[int, ...], seed: int) -> None:
        self.mlp = Mlp(inputs, hidden, 3, nnx.Rngs(seed))

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32[n, 3], ascending."""
        middle, below, above = jnp.split(self.mlp(x), 3, axis=1)
        middle = 1.0 + 0.3 * middle
        return jnp.concatenate(
            [middle - 0.2 * jax.nn.softplus(below), middle, middle + 0.2 * jax.nn.softplus(above)], 1
        )


def pinball(model: QuantileNet, batch: Batch) -> jax.Array:
    """The sum of the pinball losses of the three outputs, per second of the base."""
    return (_losses(model, batch).sum(1) * batch["weight"]).mean()


def squared(model: QuantileNet, batch: Batch) -> jax.Array:
    """Like `pinball`, with the squared error in place of the median's loss: the middle output becomes the mean."""
    losses, middle = _losses(model, batch), batch["ratio"] - model(batch["x"])[:, 1]
    return ((losses[:, 0] + losses[:, 2]) * batch["weight"] + (middle * batch["weight"]) ** 2).mean()


def _losses(model: QuantileNet, batch: Batch) -> jax.Array:
    error = batch["ratio"][:, None] - model(batch["x"])
    levels = jnp.asarray(LEVELS)
    return jnp.maximum(levels * error, (levels - 1) * error)


LOSSES = {"absolute": pinball, "squared": squared}


def fit_net(
    x: Floats, ratio: Array, base_s: Array, loss: str, hidden: tuple[int, ...], plan: Plan, report: Progress
) -> Fit[QuantileNet]:
    rows = {
        "x": x,
        "ratio": np.clip(ratio, 0.2, 4.0).astype(np.float32),
        "weight": (base_s / base_s.mean()).astype(np.float32),
    }
    return fit(QuantileNet(x, hidden, plan.seed), LOSSES[loss], rows, plan, report)


def predict_net(model: QuantileNet, x: Floats) -> Floats:
    """float32[n, 3]"""
    structure, weights = nnx.split(model)

    @jax.jit
    def network(weights: nnx.State, x: jax.Array) -> jax.Array:
        return nnx.merge(structure, weights)(x)

    parts = [np.asarray(network(weights, jnp.asarray(part))) for part in np.array_split(x, max(len(x) // 20_000, 1))]
    return np.concatenate(parts)
