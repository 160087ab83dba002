"""Calibration on a later day: fits a curve from predicted p(click) in the shown slot to observed clicks.

Platt scaling (1999) has two parameters, σ(a · logit p + b). One day has few clicks, so a prior shrinks them towards
a = 1 and b = 0; otherwise the noise of the day (2,700 clicks: 2%) would change every price. Isotonic regression fits
any monotone curve, including its noise (Zadrozny and Elkan, KDD 2002).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from ctr_prediction.model.calibration import Curve, logit
from infra.training.click_metrics import Array, log_loss_rows

SLOPE_SPREAD, SHIFT_SPREAD = 0.05, 0.02
"""prior sd of slope and shift: the usual miscalibration of a model of last week"""
FEWEST = 1e-5


def fit_curve(method: str, p: npt.ArrayLike, clicked: npt.ArrayLike, weight: npt.ArrayLike) -> Curve:
    """`p`, `clicked` and `weight` float[n], of impressions that the model has not seen."""
    predicted, did, counts = (np.asarray(values, np.float64) for values in (p, clicked, weight))
    if method == "none":
        return Curve("none", (), ())
    return _platt(predicted, did, counts) if method == "platt" else _isotonic(predicted, did, counts)


def _platt(p: Array, clicked: Array, weight: Array) -> Curve:
    x = logit(p)
    centre = float(np.average(x, weights=weight))  # the shift applies at the mean prediction, not at even odds

    def loss(at: Array) -> float:
        predicted = 1 / (1 + np.exp(-(centre + at[0] * (x - centre) + at[1])))
        prior = ((at[0] - 1) / SLOPE_SPREAD) ** 2 + (at[1] / SHIFT_SPREAD) ** 2
        return float((weight * log_loss_rows(clicked, predicted)).sum() + prior / 2)

    slope, shift = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return Curve("platt", (float(slope),), (float(centre - slope * centre + shift),))


def _isotonic(p: Array, clicked: Array, weight: Array) -> Curve:
    found = IsotonicRegression(y_min=FEWEST, y_max=1 - FEWEST, out_of_bounds="clip").fit(p, clicked, weight)
    return Curve("isotonic", tuple(found.X_thresholds_.tolist()), tuple(found.y_thresholds_.tolist()))
