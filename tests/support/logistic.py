"""Estimates the planted weights of a click log by logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

Array = npt.NDArray[Any]


def logistic(x: Array, y: Array, looked: Array | float = 1.0) -> tuple[Array, Array]:
    """Fit P(y) = looked x sigmoid(x w) by maximum likelihood; return (weights, standard errors of the weights)."""

    def loss(w: Array) -> tuple[float, Array]:
        s = 1 / (1 + np.exp(-x @ w))
        p = np.clip(looked * s, 1e-9, 1 - 1e-9)
        slope = (p - y) / (p * (1 - p)) * looked * s * (1 - s)
        return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()), x.T @ slope

    w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    s = 1 / (1 + np.exp(-x @ w))
    information = (x * ((looked * s * (1 - s)) ** 2 / (looked * s * (1 - looked * s)))[:, None]).T @ x
    return w, np.sqrt(np.diag(np.linalg.inv(information)))


def weights_of(causes: Mapping[str, Array], clicked: Array, looked: Array) -> dict[str, tuple[float, float]]:
    """Return the click weight of every cause with its standard error, fitted jointly."""
    x = np.stack([values.astype(float) for values in causes.values()], axis=1)
    weights, errors = logistic(x, clicked.astype(float), looked)
    return {name: (w, e) for name, w, e in zip(causes, weights, errors, strict=True)}


def assert_recovered(fitted: tuple[float, float], planted: float) -> None:
    """Assert that a fitted (weight, standard error) differs from zero and agrees with the planted weight."""
    weight, error = fitted
    assert abs(weight) > 2 * error, "the weight is indistinguishable from zero"
    assert weight == pytest.approx(planted, abs=4 * error)
