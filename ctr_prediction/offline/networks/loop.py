"""The training loop of the wide-and-deep model: one jitted step over all local devices, a checkpoint after each epoch.

Adam updates the network; AdaGrad updates the table rows of the batch. Training is data parallel: each device holds all
parameters and processes a slice of each batch, and XLA combines the gradients. A killed training resumes after its last
complete epoch and ends with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ctr_prediction.offline.networks.sparse_adagrad import SparseTable, update_rows
from ctr_prediction.offline.networks.wide_deep import Batch, Shape, WideDeep, first_tables, inverse_counts, loss_of
from infra.progress import Progress
from infra.training.batches import batch_of
from infra.training.checkpoints import Checkpoints

Rows = Mapping[str, npt.NDArray[Any]]
"""`numeric` float32[n, …], an id int32[n] for each table, `slot` int32[n], `clicked` and `weight` float32[n]"""


@dataclass(frozen=True)
class Plan:
    """`share` is w, the share of negatives in the data; `checkpoints` is a directory or None."""

    epochs: int
    batch: int
    network_rate: float
    table_rate: float
    l2: float
    share: float
    seed: int
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Fit:
    """`tables` float32[rows, width] each; `losses` is the mean loss per epoch; `resumed` is the number of epochs that a
    checkpoint supplied."""

    model: WideDeep
    tables: dict[str, npt.NDArray[np.float32]]
    losses: list[float]
    resumed: int = 0


def fit(
    shape: Shape,
    model: WideDeep,
    rows: Rows,
    plan: Plan,
    report: Progress = lambda share, text: None,
) -> Fit:
    """Train `model` and its tables."""
    count, devices = len(rows["clicked"]), jax.local_devices()
    size = min(plan.batch, count) // len(devices) * len(devices)
    steps = count // size
    mesh = Mesh(np.array(devices), ("data",))
    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    step, state = make_step(shape, model, rows, plan, plan.epochs * steps, partial(jax.device_put, device=everywhere))
    with Checkpoints(plan.checkpoints) as checkpoints:
        state, losses = checkpoints.resume(state)
        resumed = len(losses)
        for epoch in range(resumed, plan.epochs):
            order = np.random.default_rng([plan.seed, epoch]).permutation(count)[: steps * size]
            total = []
            for chosen in order.reshape(steps, size):
                state, loss = step(state, batch_of(rows, chosen, split))
                total.append(loss)
            losses.append(float(jnp.stack(total).mean()))
            checkpoints.save(state, losses)
            report((epoch + 1) / plan.epochs, f"epoch {epoch + 1} of {plan.epochs}: loss {losses[-1]:.4f}")
    nnx.update(model, state["model"])
    tables = {name: np.asarray(table["values"]) for name, table in state["tables"].items()}
    return Fit(model, tables, losses, resumed)


def make_step(
    shape: Shape, model: WideDeep, rows: Rows, plan: Plan, steps: int, place: Callable[[Any], Any] = jax.device_put
) -> tuple[Callable[[Any, Batch], tuple[Any, jax.Array]], Any]:
    """The jitted step (state, batch) -> (state, loss), which donates the state's buffers, and the initial state.

    `place` puts arrays on the devices. The inverse counts are an argument of the jitted function, not a constant in it:
    XLA compiles faster, and a compiled step in JAX's cache also serves other logs with tables of the same shape.
    """
    structure, first = nnx.split(model)
    fade = optax.cosine_decay_schedule(1.0, max(steps, 1), alpha=0.02)
    optimizer = optax.adam(lambda at: plan.network_rate * fade(at))
    prior = place(inverse_counts(shape, rows))
    state = {
        "model": first,
        "optimizer": optimizer.init(first),
        "tables": {name: table._asdict() for name, table in first_tables(shape, plan.seed).items()},
        "step": jnp.zeros((), jnp.int32),
    }

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, batch: Batch, prior: Mapping[str, jax.Array]) -> tuple[Any, jax.Array]:
        tables = {name: SparseTable(**table) for name, table in state["tables"].items()}
        vectors = {name: table.values[batch[name]] for name, table in tables.items()}
        weight = {name: values[batch[name]] for name, values in prior.items()}

        def loss(network: Any, vectors: Mapping[str, jax.Array]) -> jax.Array:
            return loss_of(shape, nnx.merge(structure, network), vectors, weight, batch, plan.share, plan.l2)

        value, (gradient, moved) = jax.value_and_grad(loss, argnums=(0, 1))(state["model"], vectors)
        change, optimizer_state = optimizer.update(gradient, state["optimizer"], state["model"])
        rate, size = plan.table_rate * fade(state["step"]), len(batch["clicked"])
        # undo the mean of the loss, so a row's update does not depend on the batch size
        new = {name: update_rows(tables[name], batch[name], size * moved[name], rate)._asdict() for name in tables}
        return {
            "model": optax.apply_updates(state["model"], change),
            "optimizer": optimizer_state,
            "tables": new,
            "step": state["step"] + 1,
        }, value

    return lambda state, batch: step(state, batch, prior), place(state)
