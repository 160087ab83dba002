"""The wide-and-deep model (Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016), for any data.

**Wide**: a weight for each row of hashed crosses; it remembers pairs. **Deep**: a vector for each id, products of
vectors (as in factorisation machines: Rendle, ICDM 2010), numbers, and a multilayer perceptron over all of them, beside
a linear part; it generalises. Both add up to one logit: relevance, p(click | looked at).

**Position** enters training only: p(click) = examination(slot) × p(click | looked at). Examination of the first slot is
1. **Imbalance**: where only a share w of what was not clicked is kept, a click is as likely *in the sample* as
q = p / (p + w (1 - p)); the loss is that of q, so that p itself is what is learned.
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

from ctr_prediction.offline.networks.sparse_adagrad import SparseTable

Vectors = Mapping[str, jax.Array]
Batch = Mapping[str, jax.Array]
START_SPREAD = 0.1
LOOKS_PACE = 3.0
"""how much faster examination is learned than weights: a few numbers that every row speaks of"""


@dataclass(frozen=True)
class Table:
    """A vector of `width` for each of `rows` ids. `spread` is how far from 0 a number is expected to be (one sd of the
    normal prior whose mode is learned): the smaller, the more must be seen before it moves. With `few`, most are
    expected at 0 and a few far from it (a Cauchy prior of that scale): what is small is held, what is large let go. A
    table of `deep` begins at chance, with an sd of `start`. Where a row of data has several ids of a table, they are
    its `columns`; ids are then int32[n, columns], and vectors float32[n, columns, width]."""

    name: str
    rows: int
    width: int
    spread: float
    start: float = START_SPREAD
    columns: int = 1
    few: bool = False

    def energy(self, vectors: jax.Array) -> jax.Array:
        """float32[...]: twice the prior's negative log of float32[..., width], but for a constant."""
        scaled = (vectors / self.spread) ** 2
        return (2 * jnp.log1p(scaled) if self.few else scaled).sum(axis=-1)


@dataclass(frozen=True)
class Shape:
    """What the model reads of a row of data: `numeric` numbers, an id for each table of `deep` and of `wide` (those
    have one number per row); `products` pairs of tables that are multiplied number by number, and `scaled` tables that
    are multiplied with as many numbers, from that column on. Of `pooled` tables the columns are multiplied each with
    each, and the products added up (He and Chua, Neural Factorization Machines, SIGIR 2017)."""

    numeric: int
    deep: tuple[Table, ...]
    wide: tuple[Table, ...]
    products: tuple[tuple[str, str], ...] = ()
    scaled: tuple[tuple[str, int], ...] = ()
    pooled: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """Columns of `assemble`."""
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
        """Where `assemble` has the products."""
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
        # the square of a sum less the sum of squares is twice the sum of all products
        parts.append((vectors[name].sum(axis=1) ** 2 - (vectors[name] ** 2).sum(axis=1)) / 2)
    return jnp.concatenate(parts, axis=1)


class WideDeep(nnx.Module):
    """All of the model but its tables. `use_wide` and `use_deep` leave a part out, for comparisons."""

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
        self.linear = nnx.Linear(shape.inputs, 1, use_bias=False, kernel_init=nnx.initializers.normal(0.1), rngs=rngs)
        # products begin as in a factorisation machine; else their weights, not their priors, would set how far they go
        self.linear.kernel[...] = self.linear.kernel[...].at[shape.product_columns].set(1.0)
        self.bias = nnx.Param(jnp.full(1, np.log(rate / (1 - rate)), jnp.float32))
        self.examination = nnx.Param(-jnp.log1p(jnp.arange(slots, dtype=jnp.float32)) / LOOKS_PACE)
        self.use_wide, self.use_deep, self.use_position = use_wide, use_deep, use_position

    def logit(self, x: jax.Array, wide: jax.Array) -> jax.Array:
        """float32[n]: log-odds of p(click | looked at), for `assemble`d inputs and the sum of the wide weights."""
        out = self.bias[...] + (wide if self.use_wide else 0.0)
        if self.use_deep:
            deep = x
            for layer in self.hidden:
                deep = jax.nn.relu(layer(deep))
            out = out + self.linear(x)[:, 0] + self.last(deep)[:, 0]
        return out

    def log_examination(self) -> jax.Array:
        """float32[slots], 0 in the first."""
        looks = LOOKS_PACE * self.examination[...]
        return jnp.where(jnp.arange(len(looks)) > 0, looks, 0.0) if self.use_position else jnp.zeros_like(looks)

    def penalty(self) -> jax.Array:
        """Sum of squares of the perceptron's weights: with few clicks, it would learn them by heart."""
        return sum((jnp.sum(layer.kernel[...] ** 2) for layer in (*self.hidden, self.last)), jnp.float32(0))


def first_tables(shape: Shape, seed: int) -> dict[str, SparseTable]:
    """Vectors small and random, wide weights 0."""
    rng = np.random.default_rng([seed, 11])
    start = {t.name: rng.normal(0, t.start, (t.rows, t.width)) for t in shape.deep}
    start |= {t.name: np.zeros((t.rows, 1)) for t in shape.wide}
    return {name: SparseTable.of(jnp.asarray(values, jnp.float32)) for name, values in start.items()}


def wide_logit(shape: Shape, vectors: Vectors) -> jax.Array:
    total = sum(_added_up(vectors[table.name]) for table in shape.wide)
    return total[:, 0]  # type: ignore[index]


def loss_of(
    shape: Shape, model: WideDeep, vectors: Vectors, prior: Vectors, batch: Batch, share: float, l2: float
) -> jax.Array:
    """Mean log loss of the sample, and what the priors say: a row's share of it falls on each time that it is seen.

    `prior` float32[n] for each table: 1 / how often the row is in the data. `share` is w.
    """
    logit = model.logit(assemble(shape, batch["numeric"], vectors), wide_logit(shape, vectors))
    loss = sample_loss(logit + 0.0, model.log_examination()[batch["slot"]], batch["clicked"], share)
    total = (loss * batch["weight"]).mean() + l2 * model.penalty()
    for table in shape.tables:
        energy = table.energy(vectors[table.name]) * prior[table.name]
        total = total + 0.5 * energy.reshape(len(logit), -1).sum(axis=1).mean()
    return total


def sample_loss(logit: jax.Array, log_looks: jax.Array, clicked: jax.Array, share: float) -> jax.Array:
    """Cross-entropy of q = p / (p + w (1 - p)), with p = examination × σ(logit)."""
    log_p = log_looks + jax.nn.log_sigmoid(logit)
    p = jnp.exp(jnp.minimum(log_p, -1e-6))
    log_total = jnp.log(p + share * (1 - p))
    return -(clicked * (log_p - log_total) + (1 - clicked) * (jnp.log(share) + jnp.log1p(-p) - log_total))


def inverse_counts(shape: Shape, ids: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, npt.NDArray[np.float32]]:
    """float32[rows] for each table: 1 / how often the row is in the data."""
    return {
        t.name: (1 / np.maximum(np.bincount(ids[t.name].ravel(), minlength=t.rows), 1)).astype(np.float32)
        for t in shape.tables
    }


def _added_up(vectors: jax.Array) -> jax.Array:
    """float32[n, width], over the columns of a table that has several."""
    return vectors if vectors.ndim == 2 else vectors.sum(axis=1)
