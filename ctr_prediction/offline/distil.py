"""The student: one hidden layer that learns the teacher's log-odds (Hinton, Vinyals and Dean, 2015).

It reads what the teacher reads, vectors and the wide sum included: memory is cheap to look up, and only the network
above it is dear. It is also shown pairs of users and ads that the log never had, since an auction asks for those too.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from flax import nnx

from ctr_prediction.domain import Floats
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import Mlp

LEARNING_RATE = 1e-2
EPOCHS, BATCH, FEWEST_STEPS = 6, 2048, 800


class Student(nnx.Module):
    """A hidden layer with ReLU, and beside it a linear part, on inputs brought to one scale; what it says is added to
    `usual`, the mean of what it is to learn."""

    def __init__(self, inputs: Floats, hidden: int, usual: float, seed: int) -> None:
        self.net, self.usual = Mlp(inputs, (hidden,), 1, nnx.Rngs(seed)), usual

    def logit(self, x: jax.Array) -> jax.Array:
        """float32[n]"""
        return self.usual + self.net(x)[:, 0]


def distil(x: Floats, teacher: Floats, hidden: int, seed: int, report: Callable[[float, str], None]) -> Fit[Student]:
    """Least squares on the log-odds `teacher` float32[n] of inputs `x` float32[n, …]."""

    def loss(model: Student, batch: Batch) -> jax.Array:
        return ((model.logit(batch["x"]) - batch["teacher"]) ** 2).mean()

    epochs = max(EPOCHS, FEWEST_STEPS * BATCH // len(x))
    student = Student(x, hidden, float(np.mean(teacher)), seed)
    rows = {"x": x, "teacher": np.asarray(teacher, np.float32)}
    return fit(student, loss, rows, Plan(epochs, BATCH, LEARNING_RATE, seed), report)
