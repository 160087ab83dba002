"""Prediction quality on the last part of a real log, beside logistic regression and a constant click rate.

A real log has no oracle, so the figures use observed clicks, and their intervals come from resampling the test rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ctr_prediction.offline.click_logs.learn import Data, halves
from infra.evaluation.figures import Figure
from infra.evaluation.resample import ROUNDS, Resample, interval_of
from infra.training.click_metrics import Array, auc_at, log_loss_rows

STRENGTHS = (0.03, 0.1, 0.3, 1.0)
"""candidate inverse penalties of logistic regression; the validation rows select one"""
ROUNDS_OF_SOLVER = 100


def logistic(train: Data, test: Data) -> Array:
    """float64[n]: p(click) by logistic regression on the same numbers and one-hot ids."""
    early, late = halves(train)
    columns = {part: columns_of(data) for part, data in (("early", early), ("late", late))}

    def loss(strength: float) -> float:
        p = _fit(columns["early"], early.clicked, strength).predict_proba(columns["late"])[:, 1]
        return float(log_loss_rows(late.clicked, p).mean())

    best = min(STRENGTHS, key=loss)
    p: Array = _fit(columns_of(train), train.clicked, best).predict_proba(columns_of(test))[:, 1]
    return p


def columns_of(data: Data) -> sparse.csr_matrix:
    """float32[n, numbers + ids]: numbers and one-hot ids."""
    ids = data.rows["wide"]
    ones = sparse.csr_matrix(
        (np.ones(ids.size, np.float32), ids.ravel(), np.arange(0, ids.size + 1, ids.shape[1])),
        shape=(len(ids), data.shape.wide[0].rows),
    )
    return sparse.hstack([sparse.csr_matrix(data.rows["numeric"]), ones], format="csr")


def figures_of(clicked: Array, p: Mapping[str, Array]) -> list[Figure]:
    """Figures with 95% intervals, for `p` float64[n] of `model`, `lr` and `constant`. Gains compare the same rows."""
    resample = Resample.of(np.arange(len(clicked)))
    weights = list(resample.weights(ROUNDS))
    drawn = [weight for weight in weights if 0 < weight @ clicked < weight.sum()]
    areas = {name: _areas(clicked, p[name], drawn) for name in ("model", "lr")}
    losses = {name: log_loss_rows(clicked, values) for name, values in p.items()}
    counted = {name: np.array([loss @ weight / weight.sum() for weight in weights]) for name, loss in losses.items()}
    texts = {"model": "wide and deep", "lr": "logistic regression", "constant": "constant click rate"}
    figures = [
        *(_figure(f"auc_{name}", f"AUC, {texts[name]}", *areas[name]) for name in areas),
        _figure("auc_gain_lr", "AUC over logistic regression", *_less(areas["model"], areas["lr"])),
    ]
    for name, loss in losses.items():
        figures.append(
            _figure(f"log_loss_{name}", f"log loss, {texts[name]}", float(loss.mean()), counted[name], "nats")
        )
    for name in ("lr", "constant"):
        gain, rounds = losses[name].mean() - losses["model"].mean(), counted[name] - counted["model"]
        figures.append(_figure(f"log_loss_gain_{name}", f"log loss under {texts[name]}", float(gain), rounds, "nats"))
    ratio = resample.ratio("calibration_ratio", "predicted / observed clicks", p["model"], clicked)
    return [*figures, ratio]


def _areas(clicked: Array, p: Array, weights: list[Array]) -> tuple[float, Array]:
    place = np.unique(p, return_inverse=True)[1]
    rounds = np.array([auc_at(place, clicked, weight) for weight in weights])
    return auc_at(place, clicked, np.ones_like(clicked)), rounds


def _less(one: tuple[float, Array], other: tuple[float, Array]) -> tuple[float, Array]:
    return one[0] - other[0], one[1] - other[1]


def _figure(id: str, text: str, value: float, rounds: Array, unit: str = "") -> Figure:
    low, high = interval_of(rounds) if len(rounds) else (float(value), float(value))
    return Figure(id, text, float(value), low, high, unit)


def _fit(x: sparse.csr_matrix, y: Array, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # full convergence does not matter for a baseline
        return LogisticRegression(max_iter=ROUNDS_OF_SOLVER, C=strength).fit(x, y)
