"""Metrics of a click model. `infra.evaluation.resample` computes their intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def log_loss_rows(clicked: Array, p: Array) -> Array:
    """Cross-entropy of each impression, in nats."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    loss: Array = -(clicked * np.log(p) + (1 - clicked) * np.log(1 - p))
    return loss


def excess_log_loss_rows(truth: Array, p: Array) -> Array:
    """KL divergence of each impression's true click probability from the predicted one, in nats; 0 is perfect.

    The simulation provides the true probability, so the metric has no noise from the sampled clicks.
    """
    return (
        truth * log_loss_rows(np.ones_like(p), p) + (1 - truth) * log_loss_rows(np.zeros_like(p), p) - _entropy(truth)
    )


def auc(clicked: Array, score: Array) -> float:
    """Probability that a clicked impression scores above an unclicked one; 0.5 if either kind is missing.

    scikit-learn's `roc_auc_score` gives the same value. It takes about ten times as long on a few thousand rows, and an
    interval needs 200 values.
    """
    if not 0 < clicked.sum() < len(clicked):
        return 0.5
    return auc_at(np.unique(score, return_inverse=True)[1], clicked, np.ones_like(clicked))


def auc_at(place: npt.NDArray[np.intp], truth: Array, weight: Array) -> float:
    """Expected AUC of impressions with true click probabilities `truth` float64[n] and row weights `weight` float64[n].

    `place` int64[n] is the rank of each impression's score.
    """
    click = np.bincount(place, truth * weight)
    other = np.bincount(place, (1.0 - truth) * weight)
    below = np.cumsum(other) - other
    return float((click * (below + other / 2)).sum() / (click.sum() * other.sum()))


def _entropy(p: Array) -> Array:
    return p * log_loss_rows(np.ones_like(p), p) + (1 - p) * log_loss_rows(np.zeros_like(p), p)
