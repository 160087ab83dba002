"""The light and the heavy ranker: one multi-task network in two sizes.

The four heads are p(click | examined), and given a click p(like), p(comment) and the expected dwell in seconds.
The shown position enters training only: p(click) = examination(position) × p(click | examined). Training learns both
factors and exports only the second, so serving needs no position. Examination of the first position is fixed to 1,
which makes the factors identifiable.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from feed_ranking.offline.samples import Sample
from infra.progress import Progress
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import Floats, Mlp, created
from infra.training.onnx_graph import OnnxGraph
from infra.training.warm_start import EMPTY, Weights, start_from

LEARNING_RATE = 1e-3
EXAMINATION_PACE = 20.0
"""learning rate of examination relative to the weights: every row informs these few parameters"""
HEADS = ("p_click", "p_like", "p_comment", "dwell_s")


class Ranker(nnx.Module):
    """`heads` is exported for serving; `examination` (by position) exists in training only."""

    def __init__(
        self, inputs: Floats, hidden: Sequence[int], positions: int, mean_dwell_s: float, rngs: nnx.Rngs
    ) -> None:
        self.net = Mlp(inputs, hidden, len(HEADS), rngs)
        self.examination = nnx.Param(jnp.zeros(positions))
        self.first_guess = np.log1p(1.0 / np.maximum(np.arange(positions), 1))  # 1 / rank, as in web search
        self.log_dwell = np.asarray(np.log(mean_dwell_s), np.float32)
        self.log_spread = nnx.Param(jnp.zeros(1))

    def heads(self, x: jax.Array) -> jax.Array:
        """float32[n, HEADS]."""
        out = self.net(x)
        dwell = jnp.exp(out[:, 3:] + self.log_dwell + jnp.exp(2 * self.log_spread[...]) / 2)  # mean of a log-normal
        return jnp.concatenate([jax.nn.sigmoid(out[:, :3]), dwell], axis=1)

    def nodes(self, graph: OnnxGraph, x: str) -> str:
        """`heads` in ONNX."""
        logits, log_dwell = graph.add_all("Split", 2, self.net.nodes(graph, x), graph.weight([3, 1], np.int64), axis=1)
        mean = np.asarray(self.log_dwell) + np.exp(2 * np.asarray(self.log_spread[...])) / 2
        dwell = graph.add("Exp", graph.add("Add", log_dwell, graph.weight(mean)))
        return graph.add("Concat", graph.add("Sigmoid", logits), dwell, axis=1)

    def log_examination(self) -> jax.Array:
        """float32[positions]: log examination probability relative to the first position, never above 0."""
        steps = self.first_guess * jnp.exp(EXAMINATION_PACE * self.examination[...])
        return -(jnp.cumsum(steps) - steps[0])


def ranker_loss(model: Ranker, batch: Batch) -> jax.Array:
    """Log loss of clicks as shown and of likes and comments given a click, plus the log-normal loss of dwell."""
    out = model.net(batch["x"])
    clicked = batch["clicked"]
    log_p = model.log_examination()[batch["position"]] + jax.nn.log_sigmoid(out[:, 0])
    log_not = jnp.log1p(-jnp.exp(jnp.minimum(log_p, -1e-6)))
    loss = -(clicked * log_p + (1 - clicked) * log_not)
    for head, label in ((1, "liked"), (2, "commented")):
        logit, target = out[:, head], batch[label]
        loss -= clicked * (target * jax.nn.log_sigmoid(logit) + (1 - target) * jax.nn.log_sigmoid(-logit))
    log_spread = model.log_spread[...]
    off = jnp.log(jnp.maximum(batch["dwell_s"], 1e-3)) - out[:, 3] - model.log_dwell
    loss += clicked * (log_spread + off**2 * jnp.exp(-2 * log_spread) / 2)
    return (loss * batch["weight"]).sum() / batch["weight"].sum()


def fit_ranker(
    x: Floats,
    sample: Sample,
    hidden: Sequence[int],
    plan: Plan,
    report: Progress,
    name: str = "",
    weights: Weights = EMPTY,
) -> Fit[Ranker]:
    """Fit a ranker to the impressions of `sample`, with inputs `x` float32[n, …]. It starts from the `weights` under
    `name` if there are any."""
    mean_dwell_s = float(sample.dwell_s.sum() / max(sample.clicked.sum(), 1))
    positions = int(sample.position.max()) + 1
    model = created(lambda rngs: Ranker(x, hidden, positions, mean_dwell_s, rngs), plan.seed)
    start_from(model, name, weights)
    labels = {name: getattr(sample, name) for name in ("clicked", "liked", "commented", "dwell_s", "weight")}
    return fit(model, ranker_loss, {"x": x, "position": sample.position, **labels}, plan, report)


def examination(fit: Fit[Ranker]) -> npt.NDArray[np.float32]:
    """float32[positions]: the learned probability that a user examines each position, relative to the first."""
    return np.exp(np.asarray(fit.model.log_examination()))
