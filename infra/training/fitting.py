"""The training loop of all networks: batches sharded over all local devices, and a checkpoint after each epoch.

Data parallelism: each device holds the whole model and a slice of each batch, and XLA sums the gradients. A killed
training resumes after its last complete epoch and ends with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

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
FADE = optax.cosine_decay_schedule(1.0, 1, alpha=0.02)
"""the factor of the learning rate at a share of the training"""


def _by_rate() -> optax.GradientTransformationExtraArgs:
    """Multiplies the direction of a step by the learning rate, which each update passes as `rate`."""

    def update(direction: Any, state: Any, params: Any = None, *, rate: jax.Array, **_: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda towards: -rate * towards, direction), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


ADAMW = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(1e-4), _by_rate())
"""`optax.adamw`, but the learning rate is an argument and not a constant: trainings of any length share a compiled
update."""


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
    optimizer = nnx.Optimizer(model, ADAMW, wrt=nnx.Param)
    mesh = Mesh(np.array(devices), ("data",))
    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    nnx.update((model, optimizer), jax.device_put(nnx.state((model, optimizer)), everywhere))
    shares = np.arange(plan.epochs * steps) / (plan.epochs * steps)
    rates = plan.learning_rate * np.asarray(FADE(shares)).reshape(plan.epochs, steps)
    with Checkpoints(plan.checkpoints) as checkpoints:
        found, losses = checkpoints.resume(nnx.state((model, optimizer)))
        nnx.update((model, optimizer), found)
        resumed = len(losses)
        # split once; `nnx.jit` would split for every batch
        structure, state = nnx.split((model, optimizer))
        how = How(structure, loss_of)
        for epoch in range(resumed, plan.epochs):
            order = np.random.default_rng([plan.seed, epoch]).permutation(count)[: steps * size]
            total = []
            for chosen, rate in zip(order.reshape(steps, size), rates[epoch], strict=True):
                state, loss = _update(how, state, batch_of(rows, chosen, split), rate)
                total.append(loss)
            nnx.update((model, optimizer), state)
            losses.append(float(jnp.stack(total).mean()))
            checkpoints.save(nnx.state((model, optimizer)), losses)
            report((epoch + 1) / plan.epochs, f"epoch {epoch + 1} of {plan.epochs}: loss {losses[-1]:.4f}")
    return Fit(model, losses, resumed)


@dataclass(frozen=True)
class How:
    """The constants of a compiled update. Trainings with equal constants and equal shapes share it.

    JAX hashes the constants at each update. A structure takes half a millisecond, so its hash is kept.
    """

    structure: Any
    loss_of: Callable[[Any, Batch], jax.Array]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.structure, self.loss_of))


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _update(how: How, state: Any, batch: Batch, rate: jax.Array) -> tuple[Any, jax.Array]:
    model, optimizer = nnx.merge(how.structure, state)
    loss, gradients = nnx.value_and_grad(how.loss_of)(model, batch)
    optimizer.update(model, gradients, rate=rate)
    return nnx.state((model, optimizer)), loss
