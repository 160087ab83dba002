"""The two-tower model: user and post meet in one space where a dot product means interest.

Trained on clicks with in-batch negatives: among the posts that a batch of users clicked, each user's own should
score highest. Popular posts are negatives more often than their share of attention deserves, so the log of each
post's frequency is taken off its score (logQ correction: Yi et al., RecSys 2019).
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

from feed_ranking.config import TowerConfig
from feed_ranking.offline.networks import Floats, Mlp, batches

LEARNING_RATE = 2e-3


class TwoTower(nnx.Module):
    """Both towers end in unit vectors float32[n, dimension]."""

    def __init__(self, user_inputs: Floats, post_inputs: Floats, config: TowerConfig, rngs: nnx.Rngs) -> None:
        self.user = Mlp(user_inputs.shape[1], config.hidden, config.dimension, user_inputs, rngs)
        self.post = Mlp(post_inputs.shape[1], config.hidden, config.dimension, post_inputs, rngs)

    def embed_users(self, x: jax.Array) -> jax.Array:
        return _unit(self.user(x))

    def embed_posts(self, x: jax.Array) -> jax.Array:
        return _unit(self.post(x))


@dataclass(frozen=True)
class TowerFit:
    model: TwoTower
    losses: list[float]


def fit_towers(
    user_inputs: Floats,
    post_inputs: Floats,
    post_id: npt.NDArray[np.int64],
    config: TowerConfig,
    seed: int,
    report: Callable[[float, str], None],
) -> TowerFit:
    """Learn from n clicks: `user_inputs` float32[n, …], `post_inputs` float32[n, …], `post_id` int64[n]."""
    model = TwoTower(user_inputs, post_inputs, config, nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.adam(LEARNING_RATE), wrt=nnx.Param)
    _, inverse, counts = np.unique(post_id, return_inverse=True, return_counts=True)
    log_q = np.log(counts[inverse] / len(post_id)).astype(np.float32)

    @nnx.jit
    def update(
        model: TwoTower, optimizer: nnx.Optimizer, users: jax.Array, posts: jax.Array, ids: jax.Array, log_q: jax.Array
    ) -> jax.Array:
        def loss_of(model: TwoTower) -> jax.Array:
            scores = model.embed_users(users) @ model.embed_posts(posts).T / config.temperature - log_q[None, :]
            same = (ids[:, None] == ids[None, :]) & ~jnp.eye(len(ids), dtype=bool)
            scores = jnp.where(same, -1e9, scores)  # another user's click on the same post is no negative
            return optax.softmax_cross_entropy_with_integer_labels(scores, jnp.arange(len(ids))).mean()

        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradients)
        return loss

    rng = np.random.default_rng(seed)
    losses = []
    for epoch in range(config.epochs):
        total = [
            update(model, optimizer, user_inputs[rows], post_inputs[rows], post_id[rows], log_q[rows])
            for rows in batches(rng, len(post_id), config.batch)
        ]
        losses.append(float(jnp.stack(total).mean()))
        report((epoch + 1) / config.epochs, f"towers, epoch {epoch + 1}: loss {losses[-1]:.3f}")
    return TowerFit(model, losses)


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-8)
