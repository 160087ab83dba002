"""The training loop of all networks: batches sharded over all local devices, and a checkpoint after each epoch.

Data parallelism: each device holds the whole model and a slice of each batch, and XLA sums the gradients. A killed
training resumes after its last complete epoch and ends with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from infra.progress import Progress
from infra.training.batches import batch_of
from infra.training.checkpoints import Checkpoints

M = TypeVar("M", bound=nnx.Module)
Batch = Mapping[str, jax.Array]


@dataclass(frozen=True)
class Plan:
    """Hyperparameters of one training. `checkpoints` is a directory for this training only, or None for no
    checkpoints."""

    epochs: int
    batch: int
    learning_rate: float
    seed: int
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Fit(Generic[M]):
    """A trained model. `losses` holds the mean loss of each epoch; `resumed` is the number of epochs that an earlier,
    interrupted run completed."""

    model: M
    losses: list[float]
    resumed: int = 0


def fit(
    model: M,
    loss_of: Callable[[M, Batch], jax.Array],
    rows: Mapping[str, npt.NDArray[np.generic]],
    plan: Plan,
    report: Progress,
) -> Fit[M]:
    """Minimise `loss_of(model, batch)`. `rows` holds named arrays of equal length; a batch is a subset of their
    rows."""
    count = len(next(iter(rows.values())))
    devices = jax.local_devices()
    size = min(plan.batch, count) // len(devices) * len(devices)
    steps = count // size
    schedule = optax.cosine_decay_schedule(plan.learning_rate, plan.epochs * steps, alpha=0.02)
    optimizer = nnx.Optimizer(model, optax.adamw(schedule, weight_decay=1e-4), wrt=nnx.Param)
    mesh = Mesh(np.array(devices), ("data",))
    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    nnx.update((model, optimizer), jax.device_put(nnx.state((model, optimizer)), everywhere))

    @partial(jax.jit, donate_argnums=0)
    def update(state: nnx.State, batch: Batch) -> tuple[nnx.State, jax.Array]:
        model, optimizer = nnx.merge(structure, state)
        loss, gradients = nnx.value_and_grad(loss_of)(model, batch)
        optimizer.update(model, gradients)
        return nnx.state((model, optimizer)), loss

    with Checkpoints(plan.checkpoints) as checkpoints:
        found, losses = checkpoints.resume(nnx.state((model, optimizer)))
        nnx.update((model, optimizer), found)
        resumed = len(losses)
        # split once; `nnx.jit` would split for every batch
        structure, state = nnx.split((model, optimizer))
        for epoch in range(resumed, plan.epochs):
            order = np.random.default_rng([plan.seed, epoch]).permutation(count)[: steps * size]
            total = []
            for chosen in order.reshape(steps, size):
                state, loss = update(state, batch_of(rows, chosen, split))
                total.append(loss)
            nnx.update((model, optimizer), state)
            losses.append(float(jnp.stack(total).mean()))
            checkpoints.save(nnx.state((model, optimizer)), losses)
            report((epoch + 1) / plan.epochs, f"epoch {epoch + 1} of {plan.epochs}: loss {losses[-1]:.4f}")
    return Fit(model, losses, resumed)
