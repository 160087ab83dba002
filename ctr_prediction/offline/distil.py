"""Distillation: a student with one hidden layer learns the teacher's log-odds (Hinton, Vinyals and Dean, 2015).

The student reads all inputs of the teacher, including vectors and the wide sum: lookups are cheap, and only the network
above them is expensive. Its training data includes pairs of user and ad outside the log, because auctions contain such
pairs.
"""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx

from ctr_prediction.domain import Floats
from ctr_prediction.model.student import Student
from infra.progress import Progress
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import created, linear
from infra.training.onnx_graph import OnnxGraph

LEARNING_RATE = 1e-2
LEAST_SPREAD, NO_SPREAD = 0.3, 1e-6
"""lower bounds of an input's sd: a near-constant input would get a large random weight and fail on other values"""
EPOCHS, BATCH, FEWEST_STEPS = 6, 2048, 800


class StudentNet(nnx.Module):
    """A hidden ReLU layer and a parallel linear part, on standardised inputs. The output is added to `usual`, the mean
    of the targets. The layer is linear in its inputs, so serving can split its sum into parts. An input that is
    constant in training is dropped, because the effect of another value is unknown."""

    def __init__(self, inputs: Floats, hidden: int, usual: float, rngs: nnx.Rngs) -> None:
        spread = inputs.std(0)
        self.mean = inputs.mean(0)
        self.scale = np.where(spread > NO_SPREAD, 1 / np.maximum(spread, LEAST_SPREAD), 0).astype(np.float32)
        self.first = nnx.Linear(inputs.shape[1], hidden, rngs=rngs)
        self.last = nnx.Linear(hidden, 1, use_bias=False, rngs=rngs)
        self.linear = nnx.Linear(inputs.shape[1], 1, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.usual = np.asarray(usual, np.float32)

    def logit(self, x: jax.Array) -> jax.Array:
        """float32[n]: log-odds."""
        x = (x - self.mean) * self.scale
        return self.usual + (self.last(jax.nn.relu(self.first(x))) + self.linear(x))[:, 0]

    def nodes(self, graph: OnnxGraph, x: str) -> str:
        """`logit` in ONNX."""
        x = graph.add("Mul", graph.add("Sub", x, graph.weight(self.mean)), graph.weight(self.scale))
        out = linear(graph, graph.add("Relu", linear(graph, x, self.first)), self.last)
        for part in (linear(graph, x, self.linear), graph.weight(self.usual)):
            out = graph.add("Add", out, part)
        return graph.add("Squeeze", out, graph.weight([1], np.int64))


def distil(x: Floats, teacher: Floats, hidden: int, seed: int, report: Progress) -> Fit[StudentNet]:
    """Least squares on the log-odds `teacher` float32[n] of inputs `x` float32[n, …]."""
    epochs = max(EPOCHS, FEWEST_STEPS * BATCH // len(x))
    student = created(lambda rngs: StudentNet(x, hidden, float(np.mean(teacher)), rngs), seed)
    rows = {"x": x, "teacher": np.asarray(teacher, np.float32)}
    return fit(student, squared_error, rows, Plan(epochs, BATCH, LEARNING_RATE, seed), report)


def squared_error(model: StudentNet, batch: Batch) -> jax.Array:
    return ((model.logit(batch["x"]) - batch["teacher"]) ** 2).mean()


def student_of(net: StudentNet, sample: Floats) -> Student:
    """The trained network as plain arrays. Raises `ValueError` if the two disagree on `sample` float32[n, any]."""
    mean, scale = (np.asarray(values, np.float64) for values in (net.mean, net.scale))
    kernels = [np.asarray(layer.kernel[...], np.float64) for layer in (net.first, net.linear, net.linear)]
    biases = [np.asarray(net.first.bias[...]), np.asarray(net.linear.bias[...]) + np.asarray(net.usual)]
    kernels[2], biases = -kernels[2], [*biases, -biases[1]]
    first = scale[:, None] * np.concatenate(kernels, axis=1)
    found = Student(
        first=first.astype(np.float32),
        bias=(np.concatenate(biases) - mean @ first).astype(np.float32),
        last=np.concatenate([np.asarray(net.last.kernel[...])[:, 0], [1.0, -1.0]]).astype(np.float32),
    )
    expected = np.asarray(nnx.jit(StudentNet.logit)(net, sample))
    difference = float((np.abs(found(sample) - expected) / (1 + np.abs(expected))).max())
    if not difference < 1e-4:
        raise ValueError(f"the student as plain arrays differs from the trained network by {difference}")
    return found
