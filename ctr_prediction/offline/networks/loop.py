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

ADAM = optax.scale_by_adam()
FADE = optax.cosine_decay_schedule(1.0, 1, alpha=0.02)
"""the factor of both learning rates at a share of the training"""
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
            losses.append(float(np.mean(jax.device_get(total))))
            checkpoints.save(state, losses)
            report((epoch + 1) / plan.epochs, f"epoch {epoch + 1} of {plan.epochs}: loss {losses[-1]:.4f}")
    nnx.update(model, state["model"])
    tables = {name: np.asarray(table["values"]) for name, table in state["tables"].items()}
    return Fit(model, tables, losses, resumed)


def make_step(
    shape: Shape, model: WideDeep, rows: Rows, plan: Plan, steps: int, place: Callable[[Any], Any] = jax.device_put
) -> tuple[Callable[[Any, Batch], tuple[Any, jax.Array]], Any]:
    """The jitted step (state, batch) -> (state, loss), which donates the state's buffers, and the initial state.

    `place` puts arrays on the devices.
    """
    structure, first, switches = nnx.split(model, nnx.Param, ...)
    how = How(shape, structure, plan.network_rate, plan.table_rate, plan.l2, plan.share)
    state = {
        "model": first,
        "optimizer": jax.jit(ADAM.init)(first),
        "tables": first_tables(shape, plan.seed),
        "step": np.zeros((), np.int32),
    }
    fixed = place({"prior": inverse_counts(shape, rows), "switches": switches, "steps": np.float32(max(steps, 1))})
    return lambda state, batch: _step(how, state, batch, fixed), place(state)


@dataclass(frozen=True)
class How:
    """The constants of a compiled step. Trainings with equal constants and equal shapes share it."""

    shape: Shape
    structure: Any
    network_rate: float
    table_rate: float
    l2: float
    share: float


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(how: How, state: Any, batch: Batch, fixed: Any) -> tuple[Any, jax.Array]:
    """`fixed` holds what differs between trainings that share the step: the inverse counts, the switches of the model
    and the number of steps. As constants they would also make XLA slower."""
    tables = {name: SparseTable(**table) for name, table in state["tables"].items()}
    vectors = {name: table.values[batch[name]] for name, table in tables.items()}
    weight = {name: values[batch[name]] for name, values in fixed["prior"].items()}

    def loss(network: Any, vectors: Mapping[str, jax.Array]) -> jax.Array:
        model = nnx.merge(how.structure, network, fixed["switches"])
        return loss_of(how.shape, model, vectors, weight, batch, how.share, how.l2)

    value, (gradient, moved) = jax.value_and_grad(loss, argnums=(0, 1))(state["model"], vectors)
    fade, size = FADE(state["step"] / fixed["steps"]), len(batch["clicked"])
    direction, optimizer_state = ADAM.update(gradient, state["optimizer"])
    change = jax.tree.map(lambda towards: -how.network_rate * fade * towards, direction)
    rate = how.table_rate * fade
    # undo the mean of the loss, so a row's update does not depend on the batch size
    new = {name: update_rows(tables[name], batch[name], size * moved[name], rate)._asdict() for name in tables}
    return {
        "model": optax.apply_updates(state["model"], change),
        "optimizer": optimizer_state,
        "tables": new,
        "step": state["step"] + 1,
    }, value
