"""The two-tower model: it maps users and posts into one space in which a dot product measures interest.

Training uses clicks with in-batch negatives: among the posts of a batch, each user's clicked post should score highest.
Clicks with a longer dwell have a larger weight. Popular posts are over-represented as negatives, so the loss subtracts
the log of each post's frequency from its score (logQ correction: Yi et al., RecSys 2019).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from flax import nnx

from feed_ranking.config import TowerConfig
from infra.progress import Progress
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import Floats, Mlp, created
from infra.training.onnx_graph import OnnxGraph
from infra.training.warm_start import EMPTY, Weights, start_from

LEARNING_RATE = 2e-3
NO_LENGTH = 1e-6
"""added to the squared length of a user's vector, which divides the vector"""
HEAVIEST = 5.0
"""maximum weight of a click, relative to the average click"""


class TwoTower(nnx.Module):
    """Both towers return float32[n, dimension]. The user's output is a unit vector times a learned scale."""

    def __init__(self, user_inputs: Floats, post_inputs: Floats, config: TowerConfig, rngs: nnx.Rngs) -> None:
        hidden = (config.tower_hidden, config.tower_hidden)
        self.user = Mlp(user_inputs, hidden, config.tower_dimension, rngs)
        self.post = Mlp(post_inputs, hidden, config.tower_dimension, rngs)

    def embed_users(self, x: jax.Array) -> jax.Array:
        out = self.user(x)
        return out / jnp.sqrt(jnp.sum(out * out, axis=-1, keepdims=True) + NO_LENGTH)

    def embed_posts(self, x: jax.Array) -> jax.Array:
        return self.post(x)

    def user_nodes(self, graph: OnnxGraph, x: str) -> str:
        """`embed_users` in ONNX."""
        out = self.user.nodes(graph, x)
        squares = graph.add("ReduceSumSquare", out, axes=[-1], keepdims=1)
        return graph.add("Div", out, graph.add("Sqrt", graph.add("Add", squares, graph.weight(NO_LENGTH))))

    def post_nodes(self, graph: OnnxGraph, x: str) -> str:
        """`embed_posts` in ONNX."""
        return self.post.nodes(graph, x)


def tower_loss(model: TwoTower, batch: Batch) -> jax.Array:
    """Softmax loss over the posts of the batch, each click weighted by its value."""
    scores = model.embed_users(batch["user"]) @ model.embed_posts(batch["post"]).T - batch["log_q"][None, :]
    ids = batch["post_id"]
    same = (ids[:, None] == ids[None, :]) & ~jnp.eye(len(ids), dtype=bool)
    scores = jnp.where(same, -1e9, scores)  # the same post, clicked by another user, is no negative
    loss = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.arange(len(ids)))
    return (loss * batch["weight"]).mean()


def fit_towers(
    user_inputs: Floats,
    post_inputs: Floats,
    post_id: npt.NDArray[np.int64],
    worth_s: Floats,
    config: TowerConfig,
    plan: Plan,
    report: Progress,
    weights: Weights = EMPTY,
) -> Fit[TwoTower]:
    """Fit to n clicks: `user_inputs`, `post_inputs` float32[n, …], `post_id` int64[n], `worth_s` float32[n].

    `weights` are those to start from; none for random ones.
    """
    _, inverse, counts = np.unique(post_id, return_inverse=True, return_counts=True)
    rows = {
        "user": user_inputs,
        "post": post_inputs,
        "post_id": post_id,
        "log_q": np.log(counts[inverse] / len(post_id)).astype(np.float32),
        "weight": np.minimum(worth_s / worth_s.mean(), HEAVIEST).astype(np.float32),
    }
    towers = created(lambda rngs: TwoTower(user_inputs, post_inputs, config, rngs), plan.seed)
    start_from(towers, "towers", weights)
    return fit(towers, tower_loss, rows, plan, report)
