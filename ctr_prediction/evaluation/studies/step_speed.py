"""Compares the speed of a training step with a step that only multiplies matrices of the same shapes. Prints JSON.

`python -m ctr_prediction.evaluation.studies.step_speed BATCH` alternates both steps in one process, on random data with
the sizes of SMALL.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ctr_prediction.config import SMALL
from ctr_prediction.domain import SLOTS
from ctr_prediction.offline.networks.loop import make_step
from ctr_prediction.offline.networks.spec import shape_of
from ctr_prediction.offline.networks.wide_deep import WideDeep
from ctr_prediction.offline.train import hidden_of, plan_of

BATCHES, ROUNDS = 20, 7


def main(batch: int) -> None:
    rng = np.random.default_rng(0)
    shape, hidden = shape_of(SMALL), hidden_of(SMALL)
    rows: dict[str, Any] = {
        table.name: rng.integers(0, table.rows, batch * BATCHES, dtype=np.int32) for table in shape.tables
    }
    rows |= {
        "numeric": rng.normal(size=(batch * BATCHES, shape.numeric)).astype(np.float32),
        "slot": rng.integers(0, SLOTS, batch * BATCHES, dtype=np.int32),
        "clicked": (rng.random(batch * BATCHES) < 0.17).astype(np.float32),
        "weight": np.ones(batch * BATCHES, np.float32),
    }
    model = WideDeep(shape, hidden, SLOTS, 0.02, 0)
    step, state = make_step(shape, model, rows, plan_of(SMALL), BATCHES * (ROUNDS + 1))
    batches = [
        {name: jnp.asarray(values[n * batch : (n + 1) * batch]) for name, values in rows.items()}
        for n in range(BATCHES)
    ]
    widths = [shape.inputs, *hidden, 1]
    weights = [jnp.asarray(rng.normal(size=pair), jnp.float32) for pair in itertools.pairwise(widths)]
    x = jnp.asarray(rng.normal(size=(batch, shape.inputs)), jnp.float32)

    @jax.jit
    def products(weights: list[jax.Array], x: jax.Array) -> list[jax.Array]:
        """The matrix products of a step: per layer, the forward product and the gradients of inputs and weights."""
        layers = [x]
        for weight in weights:
            layers.append(layers[-1] @ weight)
        back, found = jnp.ones_like(layers[-1]), []
        for weight, layer in zip(reversed(weights), reversed(layers[:-1]), strict=True):
            found.append(layer.T @ back)
            back = back @ weight.T
        return [*found, back]

    def train() -> None:
        nonlocal state
        for one in batches:
            state, loss = step(state, one)
        loss.block_until_ready()

    def multiply() -> None:
        for _ in batches:
            out = products(weights, x)
        out[-1].block_until_ready()

    times: dict[str, list[float]] = {"train": [], "gemm": []}
    for number in range(ROUNDS + 1):
        for name, work in (("train", train), ("gemm", multiply)):
            seconds = _timed(work)
            if number:
                times[name].append(seconds)
    ratio = median(gemm / full for gemm, full in zip(times["gemm"], times["train"], strict=True))
    rows_per_s = {f"{name}_rows_per_s": round(batch * BATCHES / median(found)) for name, found in times.items()}
    print(json.dumps({"ratio": ratio, **rows_per_s}))


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]))
