"""What another policy would have earned, estimated from the log of the one that ran.

A slate is a sequence of k choices, each with the probability that it had given those above it. Where what is shown
above changes what is earned below (fatigue, people who leave) but not the other way round, the reward at a place is
weighed by the product of the importance weights down to that place, and by no more: *reward-interaction* importance
sampling (McInerney et al., Counterfactual Evaluation of Slate Recommendations with Sequential Reward Interactions,
KDD 2020, arXiv 2007.12986). Weighing it with the whole slate's weight would be unbiased too, with far more noise.

An estimate can only be as good as the log: where the other policy would often choose what the logged one hardly ever
did, the weights are few and large, and `effective` says how few. What the logged policy never chose cannot be known.
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
    """`value` per slate with its 95% interval; `effective`: how many slates drawn by the other policy itself would be
    worth as much as this log, at the place where it is the least (Kish's effective sample size)."""

    value: float
    low: float
    high: float
    effective: float

    def figure(self, id: str, text: str, unit: str) -> Figure:
        return Figure(id, text, self.value, self.low, self.high, unit)

    def covers(self, truth: float) -> bool:
        return self.low <= truth <= self.high


def slate_weights(logged: npt.ArrayLike, other: npt.ArrayLike) -> Array:
    """float64[n, k]: how much more probable the slate down to each place is under the other policy.

    `logged` and `other` float[n, k] are the propensities of what was shown, given what stands above: w[i, j] is the
    product of other / logged over places 0 to j. Places that a slate does not have hold 1 in both. Raises `ValueError`
    where something was shown that the log says could not happen.
    """
    below = np.asarray(logged, np.float64)
    if not (below > 0).all():
        raise ValueError("a shown item's propensity is not above 0, so its weight is undefined")
    return np.asarray(np.cumprod(np.asarray(other, np.float64) / below, axis=1))


def importance_sampling(
    rewards: npt.ArrayLike, weights: Array, *, normalised: bool = True, rounds: int = CASE_ROUNDS, seed: int = 0
) -> Estimate:
    """The value of a slate under the other policy: Σ_j mean_i(w[i, j] r[i, j]) (McInerney et al., 2020).

    `rewards` float[n, k] is what each place earned, `weights` of `slate_weights`. `normalised` divides by the mean
    weight of each place (expected: 1), which trades a bias that vanishes with n for much less noise, and keeps the
    value within the range of the rewards. The interval is a bootstrap over slates.
    """
    earned = weights * np.asarray(rewards, np.float64)
    draws = count_matrix(len(earned), rounds, seed)
    if not normalised:
        return _estimate(earned.sum(axis=1).mean(), (draws @ earned.sum(axis=1)) / len(earned), weights)
    with np.errstate(divide="ignore", invalid="ignore"):  # no slate of a round could be the other policy's
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
    """The same with a baseline: only what the prediction misses is weighed, so a good prediction leaves little noise.

    Σ_j mean_i(w[i, j] (r[i, j] - q[i, j]) + w[i, j-1] v[i, j]), w[i, -1] = 1: the doubly robust estimator of Dudík et
    al. (ICML 2011) at each place (Kiyohara et al., WSDM 2022, arXiv 2202.01562, predict all that follows as well).
    `predicted` q float[n, k] is the reward that the baseline predicts of what was shown, `expected` v float[n, k] what
    it predicts on average of what the other policy would show in that place below the same ones. Whatever the
    prediction, the estimate is unbiased.
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
