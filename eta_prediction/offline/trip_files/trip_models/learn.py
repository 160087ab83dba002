"""Learns trip times: a blend of boosters on the corrected route, and LightGBM on the plain columns beside it.

Every booster is fitted twice. The first fit, to the early training trips, finds the number of rounds, the weights of
the blend and the calibration of the interval on the late ones. The second fit is to all training trips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.offline.trip_files.route import RouteSums
from eta_prediction.offline.trip_files.split import Split
from eta_prediction.offline.trip_files.trip_models.boosters import (
    EDGES,
    LEVELS,
    MEMBERS,
    PLAIN,
    ROUTE_RATIO,
    Table,
    fit,
    predict,
)
from eta_prediction.offline.trip_files.trip_models.inputs import Correction, correct, encode, plain, with_route
from eta_prediction.offline.trip_files.trip_models.level import level_of
from eta_prediction.offline.trip_files.trips import Trips
from infra.progress import Progress

KINDS = (*MEMBERS, *EDGES)
STEPS = 10
"""weights of the blend are multiples of 1 / STEPS, halfway between the best ones and equal ones"""


@dataclass(frozen=True)
class Learned:
    """Predictions of the test trips in seconds, and facts of the training as JSON values.

    All three are float64[n, 3] with P10, P50 and P90: `model` is the blend, `plain` is LightGBM without the route, and
    `route` is the corrected route. The intervals of the latter two are those of their errors on the late training
    trips.
    """

    model: Array
    plain: Array
    route: Array
    correction: Correction
    facts: dict[str, object]


@dataclass(frozen=True)
class _Stage:
    """Predictions of some trips by the name of the booster, without the level, after a fit to other trips."""

    seconds: dict[str, Array]
    rounds: dict[str, int]
    route: Array
    correction: Correction
    level: float
    half_life_days: float | None

    @property
    def levelled(self) -> dict[str, Array]:
        return {name: values * np.exp(self.level) for name, values in self.seconds.items()}

    def middle(self, weights: Array) -> Array:
        found: Array = weights @ np.stack([self.levelled[kind.name] for kind in MEMBERS])
        return found

    def edges(self, weights: Array, spread: list[float]) -> list[Array]:
        """The ends of the interval before calibration: means, in logs, of the quantile boosters and of the blend with
        the usual spread of its errors."""
        usual = [self.middle(weights) * np.exp(shift) for shift in spread]
        return [np.sqrt(self.levelled[kind.name] * edge) for kind, edge in zip(EDGES, usual, strict=True)]


def learn(trips: Trips, sums: RouteSums, parts: Split, seed: int, report: Progress) -> Learned:
    """Fit to `parts.train` and predict `parts.test`."""
    rows = parts.early, parts.late
    late = _stage(trips, sums, rows, parts.by_time, seed, lambda share, text: report(0.55 * share, text))
    truth, sides = trips.seconds[parts.late], (LEVELS[0], LEVELS[2])
    weights = blend_weights([late.levelled[kind.name] for kind in MEMBERS], truth)
    spread = [shift_of(truth, late.middle(weights), level) for level in sides]
    shifts = [shift_of(truth, edge, level) for edge, level in zip(late.edges(weights, spread), sides, strict=True)]
    rows = parts.train, parts.test
    last = _stage(trips, sums, rows, parts.by_time, seed, lambda s, text: report(0.55 + 0.45 * s, text), late.rounds)
    middle = last.middle(weights)
    low, high = (edge * np.exp(shift) for edge, shift in zip(last.edges(weights, spread), shifts, strict=True))
    facts: dict[str, object] = {
        "rounds": late.rounds,
        "blend": {kind.name: round(float(weight), 3) for kind, weight in zip(MEMBERS, weights, strict=True)},
        "level": round(last.level, 4),
        "level_half_life_days": last.half_life_days,
        "interval_shift": [round(shift, 4) for shift in shifts],
        "correction": {"fixed_s": round(last.correction.fixed_s, 1), "factor": round(last.correction.factor, 4)},
    }
    return Learned(
        np.stack([np.minimum(low, middle), middle, np.maximum(high, middle)], axis=1),
        _with_interval(last.seconds[PLAIN.name], truth, late.seconds[PLAIN.name]),
        _with_interval(last.route, truth, late.route),
        last.correction,
        facts,
    )


def blend_weights(found: list[Array], truth: Array) -> Array:
    """float64[members]: weights with sum 1, halfway between those with the least absolute error and equal ones."""
    columns, best, least = np.stack(found), np.zeros(len(found)), np.inf
    for chosen in product(range(STEPS + 1), repeat=len(found) - 1):
        if sum(chosen) <= STEPS:
            weights = np.array([*chosen, STEPS - sum(chosen)]) / STEPS
            error = float(np.abs(weights @ columns - truth).mean())
            if error < least:
                best, least = weights, error
    return (best + 1 / len(found)) / 2


def shift_of(truth: Array, edge: Array, level: float) -> float:
    """The shift in logs after which a share `level` of the true times is below `edge` (conformal, one side)."""
    rank = np.ceil(level * (len(truth) + 1)) if level > 0.5 else np.floor(level * (len(truth) + 1))
    scores = np.sort(np.log(truth / edge))
    return float(scores[int(np.clip(rank, 1, len(scores))) - 1])


def _with_interval(middle: Array, truth: Array, late: Array) -> Array:
    """float64[n, 3]: `middle` with the usual errors of the predictions `late` of the times `truth` on both sides."""
    low, high = (np.exp(shift_of(truth, late, level)) for level in (LEVELS[0], LEVELS[2]))
    return np.stack([low * middle, middle, high * middle], axis=1)


def _stage(
    trips: Trips,
    sums: RouteSums,
    rows: tuple[Ints, Ints],
    by_time: bool,
    seed: int,
    report: Progress,
    rounds: Mapping[str, int] | None = None,
) -> _Stage:
    """Fit to the first rows and predict the second. Without `rounds`, the second choose the number of rounds."""
    fitted, other = (trips.take(at) for at in rows)
    fitted_sums, other_sums = (sums.take(at) for at in rows)
    correction = correct(fitted, fitted_sums)
    base_s, other_base_s = correction.apply(fitted, fitted_sums), correction.apply(other, other_sums)
    rest = np.log(fitted.seconds / base_s)
    train = _table(fitted, fitted_sums, base_s, encode(fitted, rest), by_time)
    unseen = _table(other, other_sums, other_base_s, encode(fitted, rest, other), by_time)
    seconds, done, level, half = dict[str, Array](), dict[str, int](), 0.0, None
    for number, kind in enumerate(KINDS):
        report(number / len(KINDS), f"{'fitting' if rounds else 'choosing rounds'}: {kind.name}")
        late = None if rounds else (unseen, other.seconds)
        booster = fit(kind, train, fitted.seconds, seed, rounds=rounds[kind.name] if rounds else None, late=late)
        seconds[kind.name] = predict(kind, booster, unseen)
        done[kind.name] = booster.best_iteration or booster.num_trees()
        if kind is ROUTE_RATIO and by_time:
            level, half = level_of(fitted.clock_s, np.log(fitted.seconds / predict(kind, booster, train)))
    return _Stage(seconds, done, other_base_s, correction, level, half)


def _table(trips: Trips, sums: RouteSums, base_s: Array, encoded: Array, by_time: bool) -> Table:
    inputs = with_route(trips, sums, base_s, encoded, by_time=by_time)
    return Table(plain(trips, by_time=by_time), inputs, base_s)
