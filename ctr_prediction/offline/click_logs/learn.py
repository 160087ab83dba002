"""The wide-and-deep model on a real log, with the model and the training step of the generated world.

**Wide**: a weight for each value, and for each cross of the selected pairs. **Deep**: a vector for each value, the sum
of their products, numbers, and the perceptron.

The number of epochs is chosen on the last part of the training rows, never on the test rows, because vectors of rare
values overfit quickly. The final fit uses all training rows and that number of epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from ctr_prediction.offline.click_logs.crosses import BITS, Pairs, crossed
from ctr_prediction.offline.click_logs.encode import Encoder, Rows
from ctr_prediction.offline.click_logs.read import Log
from ctr_prediction.offline.networks.loop import Fit, Plan, fit
from ctr_prediction.offline.networks.wide_deep import Shape, Table, Vectors, WideDeep, assemble, wide_logit
from infra.progress import Progress
from infra.training.click_metrics import Array, log_loss_rows

WIDTH, HIDDEN = 10, (256, 128)
DEEP_SPREAD, WIDE_SPREAD, START = 0.1, 0.3, 0.1
NETWORK_RATE, TABLE_RATE, L2 = 0.001, 0.05, 1e-4
MOST_EPOCHS = 16
FEWEST_STEPS, BATCHES = 100, (32, 1024)
"""minimum number of steps per epoch, and the range of batch sizes"""
SURE, FEWEST_EPOCHS = 5_000, 8
"""validation rows above which one worse epoch is significant; with fewer rows, at least this many epochs are tried"""
VALIDATED = 0.15
"""share of the training rows, the last ones, that validates the number of epochs"""
PARTS = 20_000
"""number of rows per prediction chunk"""


@dataclass(frozen=True)
class Data:
    """An encoded log: `rows` as `loop.Rows`, and the shape of the model for them."""

    shape: Shape
    rows: dict[str, npt.NDArray[Any]]

    def take(self, rows: Rows) -> Data:
        return Data(self.shape, {name: values[rows] for name, values in self.rows.items()})

    def __len__(self) -> int:
        return len(self.rows["clicked"])

    @property
    def clicked(self) -> Array:
        return self.rows["clicked"].astype(np.float64)


@dataclass(frozen=True)
class Learned:
    """The fit; `losses` are the validation log losses by number of epochs."""

    found: Fit
    epochs: int
    losses: dict[int, float]


def data_of(encoder: Encoder, log: Log, rows: Rows, pairs: Pairs = ()) -> Data:
    """Rows of a log for `fit`, with one slot, unit weights and no dropped negatives."""
    ids, size = encoder.places(log, rows), sum(encoder.sizes)
    columns = ids.shape[1]
    deep = Table("deep", size, WIDTH, DEEP_SPREAD, START, columns)
    wide = [Table("wide", size, 1, WIDE_SPREAD, columns=columns)]
    if pairs:
        wide.append(Table("cross", 2**BITS, 1, WIDE_SPREAD, columns=len(pairs)))
    shape = Shape(encoder.numeric, (deep,), tuple(wide), pooled=("deep",))
    found: dict[str, npt.NDArray[Any]] = {
        "numeric": encoder.numbers(log, rows),
        "deep": ids,
        "wide": ids,
        "slot": np.zeros(len(rows), np.int32),
        "clicked": log.clicked[rows],
        "weight": np.ones(len(rows), np.float32),
    }
    return Data(shape, found | ({"cross": crossed(ids, pairs)} if pairs else {}))


def learn(train: Data, seed: int, report: Progress, checkpoints: Path) -> Learned:
    """Find out how many epochs are good on the last part of `train`, then learn all of it for as many."""
    early, late = halves(train)
    losses: dict[int, float] = {}
    epochs = 1
    while epochs <= MOST_EPOCHS:
        found = _fit(
            early, epochs, seed, _part(report, 0.0, 0.6, f"validating {epochs} epochs"), checkpoints / f"{epochs}"
        )
        losses[epochs] = float(log_loss_rows(late.clicked, predict(found, late)).mean())
        if losses[epochs] > min(losses.values()) and (len(late) >= SURE or epochs >= FEWEST_EPOCHS):
            break
        epochs *= 2
    best = min(losses, key=lambda tried: losses[tried])
    found = _fit(train, best, seed, _part(report, 0.6, 1.0, f"training for {best} epochs"), checkpoints / "last")
    return Learned(found, best, losses)


def halves(train: Data) -> tuple[Data, Data]:
    """The training rows without the validation rows, and the validation rows."""
    first = int(len(train) * (1 - VALIDATED))
    return train.take(np.arange(first)), train.take(np.arange(first, len(train)))


def predict(found: Fit, data: Data) -> Array:
    """float64[n]: p(click)."""
    structure, state = nnx.split(found.model)
    tables = {name: jnp.asarray(values) for name, values in found.tables.items()}

    @jax.jit
    def logit(state: Any, tables: Vectors, part: Vectors) -> jax.Array:
        vectors = {name: values[part[name]] for name, values in tables.items()}
        x = assemble(data.shape, part["numeric"], vectors)
        return nnx.merge(structure, state).logit(x, wide_logit(data.shape, vectors))

    parts = np.array_split(np.arange(len(data)), max(len(data) // PARTS, 1))
    z = np.concatenate([np.asarray(logit(state, tables, data.take(part).rows), np.float64) for part in parts])
    return 1.0 / (1.0 + np.exp(-z))


def _fit(data: Data, epochs: int, seed: int, report: Progress, checkpoints: Path) -> Fit:
    batch = int(np.clip(2 ** np.round(np.log2(max(len(data), 1) / FEWEST_STEPS)), *BATCHES))
    rate = float(np.clip(data.clicked.mean(), 1e-4, 1 - 1e-4))
    model = WideDeep(data.shape, HIDDEN, 1, rate, seed)
    return fit(
        data.shape, model, data.rows, Plan(epochs, batch, NETWORK_RATE, TABLE_RATE, L2, 1.0, seed, checkpoints), report
    )


def _part(report: Progress, first: float, last: float, name: str) -> Progress:
    return lambda share, text: report(first + (last - first) * share, f"{name}, {text}")
