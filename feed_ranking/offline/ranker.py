"""The ranker: p(click | the user looks), learned from a log in which looking depends on the position.

Position-based model: p(click) = examination(position) × p(click | looked at). Training learns both factors; only
the second is exported, so that the shown position is a training-only input and serving cannot ask for it.
Examination of the first position is fixed to 1, which makes the factors identifiable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from flax import nnx

from feed_ranking.config import RankerConfig
from feed_ranking.offline.networks import Floats, Mlp, batches

LEARNING_RATE = 3e-3


class Ranker(nnx.Module):
    """`relevance` is what is served; `examination` exists in training only."""

    def __init__(self, inputs: Floats, positions: int, config: RankerConfig, rngs: nnx.Rngs) -> None:
        self.net = Mlp(inputs.shape[1], config.hidden, 1, inputs, rngs)
        self.looks = nnx.Param(jnp.zeros(positions))

    def logit(self, x: jax.Array) -> jax.Array:
        return self.net(x)[:, 0]

    def relevance(self, x: jax.Array) -> jax.Array:
        """float32[n]: p(click | looked at)."""
        return jax.nn.sigmoid(self.logit(x))

    def log_examination(self) -> jax.Array:
        """float32[positions], 0 at the first position and never above."""
        steps = jax.nn.softplus(self.looks[...] - 2.0)
        return -(jnp.cumsum(steps) - steps[0])


@dataclass(frozen=True)
class RankerFit:
    model: Ranker
    losses: list[float]
    examination: npt.NDArray[np.float32]


def fit_ranker(
    inputs: Floats,
    position: npt.NDArray[np.int64],
    clicked: npt.NDArray[np.float32],
    config: RankerConfig,
    seed: int,
    report: Callable[[float, str], None],
) -> RankerFit:
    """Learn from n impressions: `inputs` float32[n, …], `position` int64[n] from 0, `clicked` float32[n] in {0, 1}."""
    model = Ranker(inputs, int(position.max()) + 1, config, nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.adam(LEARNING_RATE), wrt=nnx.Param)

    @nnx.jit
    def update(
        model: Ranker, optimizer: nnx.Optimizer, x: jax.Array, position: jax.Array, clicked: jax.Array
    ) -> jax.Array:
        def loss_of(model: Ranker) -> jax.Array:
            log_p = model.log_examination()[position] + jax.nn.log_sigmoid(model.logit(x))
            log_not = jnp.log1p(-jnp.exp(jnp.minimum(log_p, -1e-6)))
            return -(clicked * log_p + (1 - clicked) * log_not).mean()

        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradients)
        return loss

    rng = np.random.default_rng(seed)
    losses = []
    for epoch in range(config.epochs):
        total = [
            update(model, optimizer, inputs[rows], position[rows], clicked[rows])
            for rows in batches(rng, len(inputs), config.batch)
        ]
        losses.append(float(jnp.stack(total).mean()))
        report((epoch + 1) / config.epochs, f"ranker, epoch {epoch + 1}: loss {losses[-1]:.4f}")
    return RankerFit(model, losses, np.exp(np.asarray(model.log_examination())))
