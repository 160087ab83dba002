"""Off-policy evaluation: estimates the reward of a target policy from the log of another policy.

A slate is a sequence of k choices. The log holds the propensity of each choice given the choices above it. A choice
affects the rewards below it (fatigue, users leaving) but not the rewards above it. The estimator therefore weights the
reward at a position by the product of the importance weights down to that position: *reward-interaction* importance
sampling (McInerney et al., Counterfactual Evaluation of Slate Recommendations with Sequential Reward Interactions,
KDD 2020, arXiv 2007.12986). The weight of the whole slate would also be unbiased, with far higher variance.

The accuracy depends on the overlap of the two policies. If the target policy often makes choices that are rare in the
log, a few large weights dominate and `effective` is small. Choices that the logging policy never made have no estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.evaluation.figures import Figure
from infra.evaluation.resample import CASE_ROUNDS, count_matrix, interval_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """The estimated `value` per slate with its 95% interval.

    `effective` is Kish's effective sample size at the position where it is smallest: the number of slates drawn from
    the target policy that would give the same accuracy.
    """

    value: float
    low: float
    high: float
    effective: float

    def figure(self, id: str, text: str, unit: str) -> Figure:
        return Figure(id, text, self.value, self.low, self.high, unit)

    def covers(self, truth: float) -> bool:
        return self.low <= truth <= self.high


def slate_weights(logged: npt.ArrayLike, other: npt.ArrayLike) -> Array:
    """Return the importance weights float64[n, k]: w[i, j] is the product of other / logged over positions 0 to j.

    `logged` and `other` float[n, k] are the propensities of the shown items, given the items above them. Positions
    beyond the end of a slate hold 1 in both. Raises `ValueError` if a logged propensity is not above 0.
    """
    below = np.asarray(logged, np.float64)
    if not (below > 0).all():
        raise ValueError("a shown item's propensity is not above 0, so its weight is undefined")
    return np.asarray(np.cumprod(np.asarray(other, np.float64) / below, axis=1))


def importance_sampling(
    rewards: npt.ArrayLike, weights: Array, *, normalised: bool = True, rounds: int = CASE_ROUNDS, seed: int = 0
) -> Estimate:
    """Estimate the value of a slate under the target policy: Σ_j mean_i(w[i, j] r[i, j]) (McInerney et al., 2020).

    `rewards` float[n, k] holds the reward of each position, `weights` the result of `slate_weights`. `normalised`
    divides by the mean weight of each position, whose expectation is 1. It adds a bias that vanishes with n, greatly
    reduces the variance, and keeps the value within the range of the rewards. The interval is a bootstrap over slates.
    """
    earned = weights * np.asarray(rewards, np.float64)
    draws = count_matrix(len(earned), rounds, seed)
    if not normalised:
        return _estimate(earned.sum(axis=1).mean(), (draws @ earned.sum(axis=1)) / len(earned), weights)
    with np.errstate(divide="ignore", invalid="ignore"):  # all weights of a draw may be 0
        value = np.nansum(earned.sum(axis=0) / weights.sum(axis=0))
        spread = np.nansum((draws @ earned) / (draws @ weights), axis=1)
    return _estimate(float(value), spread, weights)


def doubly_robust(
    rewards: npt.ArrayLike,
    weights: Array,
    predicted: npt.ArrayLike,
    expected: npt.ArrayLike,
    *,
    rounds: int = CASE_ROUNDS,
    seed: int = 0,
) -> Estimate:
    """Estimate the value of a slate with a reward model as baseline: only the model's residuals are weighted.

    Σ_j mean_i(w[i, j] (r[i, j] - q[i, j]) + w[i, j-1] v[i, j]), w[i, -1] = 1: the doubly robust estimator of Dudík et
    al. (ICML 2011) at each position (Kiyohara et al., WSDM 2022, arXiv 2202.01562, also predict the rewards that
    follow). `predicted` q float[n, k] is the predicted reward of the shown item. `expected` v float[n, k] is the mean
    predicted reward of the target policy's choice at that position, given the same items above it. The estimate is
    unbiased for any reward model, and an accurate model reduces the variance.
    """
    above = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    missed = np.asarray(rewards, np.float64) - np.asarray(predicted, np.float64)
    each = (weights * missed + above * np.asarray(expected, np.float64)).sum(axis=1)
    return _estimate(each.mean(), (count_matrix(len(each), rounds, seed) @ each) / len(each), weights)


def _estimate(value: float, spread: Array, weights: Array) -> Estimate:
    low, high = interval_of(spread)
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    effective = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    return Estimate(float(value), low, high, float(effective.min()))
