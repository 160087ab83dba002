"""The wide-and-deep model (Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016), for any data.

**Wide**: a weight for each row of hashed crosses; it memorises pairs. **Deep**: a vector for each id, products of
vectors (as in factorisation machines: Rendle, ICDM 2010), numbers, and a multilayer perceptron over all of them, with a
parallel linear part; it generalises. Both add up to one logit: relevance, p(click | examined).

**Position** enters training only: p(click) = examination(slot) × p(click | examined). Examination of the first slot is
1. **Imbalance**: if the sample keeps only a share w of the negatives, the probability of a click *in the sample* is
q = p / (p + w (1 - p)). The loss is the cross-entropy of q, so the model learns p itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from ctr_prediction.offline.networks.sparse_adagrad import START
from infra.training.networks import linear
from infra.training.onnx_graph import OnnxGraph

Vectors = Mapping[str, jax.Array]
Batch = Mapping[str, jax.Array]
START_SPREAD = 0.1
LINEAR_START = nnx.initializers.normal(0.1)
"""one function for all models: networks with equal functions share their compiled step"""
EXAMINATION_PACE = 3.0
"""learning rate of examination relative to the weights: every row informs these few parameters"""


@dataclass(frozen=True)
class Table:
    """A vector of `width` for each of `rows` ids. `spread` is the sd of the normal prior of each number (training finds
    the mode of the posterior): a smaller spread needs more data to move a number. With `few`, the prior is a Cauchy
    distribution of that scale: most numbers stay near 0 and a few become large. Tables of `deep` are initialised at
    random with the sd `start`. If a row of data has several ids of a table, they are its `columns`; ids are then
    int32[n, columns], and vectors float32[n, columns, width]."""

    name: str
    rows: int
    width: int
    spread: float
    start: float = START_SPREAD
    columns: int = 1
    few: bool = False

    def energy(self, vectors: jax.Array) -> jax.Array:
        """float32[...]: -2 × the log prior of `vectors` float32[..., width], up to a constant."""
        scaled = (vectors / self.spread) ** 2
        return (2 * jnp.log1p(scaled) if self.few else scaled).sum(axis=-1)


@dataclass(frozen=True)
class Shape:
    """Inputs of the model per row of data: `numeric` numbers, and an id for each table of `deep` and of `wide` (wide
    tables have width 1). `products` are pairs of tables that are multiplied elementwise. `scaled` tables are multiplied
    elementwise with numbers, from the given column on. For `pooled` tables, the products of all pairs of columns are
    summed (He and Chua, Neural Factorization Machines, SIGIR 2017)."""

    numeric: int
    deep: tuple[Table, ...]
    wide: tuple[Table, ...]
    products: tuple[tuple[str, str], ...] = ()
    scaled: tuple[tuple[str, int], ...] = ()
    pooled: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """Number of columns of `assemble`."""
        widths = {table.name: table.width for table in self.deep}
        crossed = sum(min(widths[one], widths[other]) for one, other in self.products)
        vectors = sum(table.width * table.columns for table in self.deep)
        scaled = sum(widths[name] for name, _ in self.scaled)
        return self.numeric + vectors + crossed + scaled + sum(widths[name] for name in self.pooled)

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.deep + self.wide

    @property
    def product_columns(self) -> slice:
        """The columns of `assemble` with the products."""
        first = self.numeric + sum(table.width * table.columns for table in self.deep)
        widths = {table.name: table.width for table in self.deep}
        return slice(first, first + sum(min(widths[one], widths[other]) for one, other in self.products))


def assemble(shape: Shape, numeric: jax.Array, vectors: Vectors) -> jax.Array:
    """float32[n, shape.inputs]: numbers, vectors, products, scaled, pooled."""
    widths = {table.name: table.width for table in shape.deep}
    parts = [numeric, *(vectors[table.name].reshape(len(numeric), -1) for table in shape.deep)]
    for one, other in shape.products:
        width = min(widths[one], widths[other])
        parts.append(vectors[one][:, :width] * vectors[other][:, :width])
    parts += [vectors[name] * numeric[:, first : first + widths[name]] for name, first in shape.scaled]
    for name in shape.pooled:
        # (square of the sum - sum of squares) / 2 equals the sum of all pairwise products
        parts.append((vectors[name].sum(axis=1) ** 2 - (vectors[name] ** 2).sum(axis=1)) / 2)
    return jnp.concatenate(parts, axis=1)


class Switch(nnx.Variable):
    """1 if training uses a part of the model, 0 otherwise. It is data, so XLA compiles one step for both values."""


class WideDeep(nnx.Module):
    """The model without its tables. `use_wide`, `use_deep` and `use_position` switch a part off, for comparisons.

    Without the wide part the wide weights stay 0, so only the loss reads `use_wide`.
    """

    def __init__(
        self,
        shape: Shape,
        hidden: Sequence[int],
        slots: int,
        rate: float,
        seed: int,
        *,
        use_wide: bool = True,
        use_deep: bool = True,
        use_position: bool = True,
    ) -> None:
        rngs = nnx.Rngs(seed)
        widths = [shape.inputs, *hidden]
        self.hidden = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(widths)])
        self.last = nnx.Linear(widths[-1], 1, use_bias=False, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.linear = nnx.Linear(shape.inputs, 1, use_bias=False, kernel_init=LINEAR_START, rngs=rngs)
        # initialise product weights as in a factorisation machine; otherwise they, not the priors, would set the scale
        kernel = np.array(self.linear.kernel[...])  # in NumPy, because XLA compiles every operation outside of jit
        kernel[shape.product_columns] = 1.0
        self.linear.kernel[...] = jnp.asarray(kernel)
        self.bias = nnx.Param(jnp.asarray(np.full(1, np.log(rate / (1 - rate)), np.float32)))
        self.examination = nnx.Param(jnp.asarray(-np.log1p(np.arange(slots, dtype=np.float32)) / EXAMINATION_PACE))
        self.use_wide, self.use_position = (Switch(jnp.asarray(np.float32(use))) for use in (use_wide, use_position))
        self.use_deep = use_deep

    def logit(self, x: jax.Array, wide: jax.Array) -> jax.Array:
        """float32[n]: log-odds of p(click | examined), for `assemble`d inputs and the sum of the wide weights."""
        out = self.bias[...] + wide
        if self.use_deep:
            deep = x
            for layer in self.hidden:
                deep = jax.nn.relu(layer(deep))
            out = out + self.linear(x)[:, 0] + self.last(deep)[:, 0]
        return out

    def nodes(self, graph: OnnxGraph, x: str) -> str:
        """`logit` in ONNX, for one array whose last column is the wide sum. Every part is in use."""
        widths = graph.weight([self.linear.kernel.shape[0], 1], np.int64)
        x, out = graph.add_all("Split", 2, x, widths, axis=1)
        deep = x
        for layer in self.hidden:
            deep = graph.add("Relu", linear(graph, deep, layer))
        for part in (linear(graph, x, self.linear), linear(graph, deep, self.last), graph.weight(self.bias[...])):
            out = graph.add("Add", out, part)
        return graph.add("Squeeze", out, graph.weight([1], np.int64))

    def log_examination(self) -> jax.Array:
        """float32[slots], 0 in the first."""
        log_rates = EXAMINATION_PACE * self.examination[...]
        return jnp.where(jnp.arange(len(log_rates)) > 0, log_rates, 0.0) * self.use_position[...]

    def penalty(self) -> jax.Array:
        """Sum of squares of the perceptron's weights; without this penalty it would overfit the few clicks."""
        return sum((jnp.sum(layer.kernel[...] ** 2) for layer in (*self.hidden, self.last)), jnp.float32(0))


def first_tables(shape: Shape, seed: int) -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    """The fields of each initial `SparseTable`: small random vectors, and wide weights of 0.

    They are NumPy arrays, because XLA would compile a fill and a conversion for each shape.
    """
    rng = np.random.default_rng([seed, 11])
    start = {t.name: rng.normal(0, t.start, (t.rows, t.width)).astype(np.float32) for t in shape.deep}
    start |= {t.name: np.zeros((t.rows, 1), np.float32) for t in shape.wide}
    return {name: {"values": values, "squares": np.full_like(values, START)} for name, values in start.items()}


def wide_logit(shape: Shape, vectors: Vectors) -> jax.Array:
    total = sum(_added_up(vectors[table.name]) for table in shape.wide)
    return total[:, 0]


def loss_of(
    shape: Shape, model: WideDeep, vectors: Vectors, prior: Vectors, batch: Batch, share: float, l2: float
) -> jax.Array:
    """Mean log loss of the sample plus the prior energy, which is spread over the occurrences of each row.

    `prior` float32[n] for each table: 1 / number of occurrences of the row in the data. `share` is w.
    """
    wide = wide_logit(shape, vectors) * model.use_wide[...]
    logit = model.logit(assemble(shape, batch["numeric"], vectors), wide)
    loss = sample_loss(logit + 0.0, model.log_examination()[batch["slot"]], batch["clicked"], share)
    total = (loss * batch["weight"]).mean() + l2 * model.penalty()
    for table in shape.tables:
        energy = table.energy(vectors[table.name]) * prior[table.name]
        total = total + 0.5 * energy.reshape(len(logit), -1).sum(axis=1).mean()
    return total


def sample_loss(logit: jax.Array, log_examined: jax.Array, clicked: jax.Array, share: float) -> jax.Array:
    """Cross-entropy of q = p / (p + w (1 - p)), with p = examination × σ(logit)."""
    log_p = log_examined + jax.nn.log_sigmoid(logit)
    p = jnp.exp(jnp.minimum(log_p, -1e-6))
    log_total = jnp.log(p + share * (1 - p))
    return -(clicked * (log_p - log_total) + (1 - clicked) * (jnp.log(share) + jnp.log1p(-p) - log_total))


def inverse_counts(shape: Shape, ids: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, npt.NDArray[np.float32]]:
    """float32[rows] for each table: 1 / number of occurrences of the row in the data."""
    return {
        t.name: (1 / np.maximum(np.bincount(ids[t.name].ravel(), minlength=t.rows), 1)).astype(np.float32)
        for t in shape.tables
    }


def _added_up(vectors: jax.Array) -> jax.Array:
    """float32[n, width]: the sum over the columns of a table with several columns."""
    return vectors if vectors.ndim == 2 else vectors.sum(axis=1)
