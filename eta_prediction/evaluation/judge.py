"""The value of quotes by the oracle, for `lab evaluate`, sweeps and drills.

The rides are those of the day after the history. Errors are expected ones under the true law of a ride's time on the
quoted route, given all that a server could know at the departure. The floor is the best straight line through the usual
driving times: it knows the route, but neither today's traffic nor turns nor places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from eta_prediction.config import EtaConfig, RiderConfig
from eta_prediction.domain import POOLED, RIDE_TYPES, Array, Bools, Ints
from eta_prediction.evaluation.accuracy import absolute_of_law, coverage_of_law, pinball_of_law
from eta_prediction.evaluation.rides.cases import Ride
from eta_prediction.evaluation.rides.day_after import DayAfter, DrivenRide
from eta_prediction.evaluation.rides.later_days import LaterDays
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.world.riders import p_cancel
from infra.evaluation.experiment import Play, Score, per_case

LONG_MIN = 20.0
COVERAGE = 0.8
"""the share of rides that P10 to P90 promises"""
GAIN = "reducible error that P50 removes, as a share of what the oracle removes"


class Judge:
    """Values quotes by the oracle of one world."""

    def __init__(self, config: EtaConfig) -> None:
        self.config = config
        self.day = DayAfter(config.world)
        self.later = LaterDays(config.world)

    def in_shifted_world(self, size: float) -> Judge:
        """A judge whose later days have road works of `size` (`world.shift`): it values HTTP responses in them."""
        found = copy(self)
        found.later = LaterDays(self.config.world, size)
        return found

    def cases(self, count: int) -> Sequence[Ride]:
        return self.day.rides(count, self.config.world.seed)

    def question(self, case: Any) -> dict[str, Any]:
        """The body of a request over HTTP. The service answers for its own time, not for that of the ride."""
        return {
            "origin": {"node": case.origin},
            "destination": {"node": case.destination},
            "ride_type": RIDE_TYPES[case.ride_type],
            "driver_id": case.driver_id,
        }

    def captured_by(self, cases: Sequence[Any], answers: Sequence[Mapping[str, Any]]) -> Score:
        """The value of HTTP responses at the times of their departures, in a city whose traffic nobody reports."""
        driven = [
            self.later.driven(ride, float(answer["departure_ts"]), np.array(answer["edges"], np.int64))
            for ride, answer in zip(cases, answers, strict=True)
        ]
        truth = Truth.of(driven)
        p50 = 60 * np.array([float(answer["p50_min"]) for answer in answers])
        return Score("captured_value", GAIN, "", *truth.gain(p50))

    def trial(self, cases: Sequence[Any], baseline: Sequence[Play]) -> EtaTrial:
        return EtaTrial(self, cases)

    def driven(self, ride: Ride, edges: Ints) -> DrivenRide:
        return self.day.driven(ride, edges)


@dataclass(frozen=True)
class Truth:
    """The laws float64[n, draws] of n rides, and float64[n] each: the times in the usual traffic and on empty roads."""

    law: Array
    usual_s: Array
    free_s: Array

    @classmethod
    def of(cls, driven: Sequence[DrivenRide]) -> Truth:
        return cls(
            np.stack([ride.law for ride in driven]),
            np.array([ride.usual_s for ride in driven]),
            np.array([ride.free_s for ride in driven]),
        )

    @property
    def quantiles(self) -> Array:
        """float64[n, 3]: the oracle's P10, P50 and P90."""
        return np.quantile(self.law, LEVELS, axis=1).T

    def gain(self, p50: Array) -> tuple[Array, Array]:
        """(what `p50` removes of the floor's error, what the oracle removes), float64[n] seconds each."""
        median = self.quantiles[:, 1]
        line: Array = median
        if len(median) > 1:
            slope, start = np.polyfit(self.usual_s, median, 1)
            line = start + slope * self.usual_s
        floor, found, least = (absolute_of_law(self.law, one) for one in (line, p50, median))
        return floor - found, floor - least

    def is_long(self) -> Bools:
        found: Bools = self.usual_s >= 60 * LONG_MIN
        return found


@dataclass(frozen=True)
class EtaTrial:
    """A comparison on the same rides. Each setting's quotes are valued on the routes that it quotes."""

    judge: Judge
    cases: Sequence[Ride]

    def scores(self, plays: Sequence[Play]) -> list[Score]:
        truth = Truth.of(
            [self.judge.driven(ride, play.answer.edges) for ride, play in zip(self.cases, plays, strict=True)]
        )
        found = np.stack([play.answer.quantiles for play in plays])
        quoted = np.array([play.answer.quoted_s for play in plays])
        is_pooled = np.array([ride.ride_type == POOLED for ride in self.cases])
        error, bias = absolute_of_law(truth.law, found[:, 1]), found[:, 1] - truth.quantiles[:, 1]
        return [
            Score("captured_value", GAIN, "", *truth.gain(found[:, 1])),
            _mean("mae_min", "mean absolute error of P50", error),
            _mean(
                "mae_long_min", f"mean absolute error of P50 on rides of {LONG_MIN:.0f} minutes", error, truth.is_long()
            ),
            per_case("bias_min", "P50 minus the true median", "min", bias / 60, target=0.0),
            _mean("bias_pooled_min", "P50 minus the true median of pooled rides", bias, is_pooled, target=0.0),
            per_case(
                "coverage",
                "true probability of P10 to P90; 80% is asked",
                "",
                coverage_of_law(truth.law, found),
                target=COVERAGE,
            ),
            _mean("width_min", "P90 minus P10", found[:, 2] - found[:, 0]),
            _mean(
                "interval_loss_min",
                "width of P10 to P90, plus ten times the distance of rides outside",
                interval_loss(truth.law, found),
            ),
            Score(
                "pinball_over_oracle",
                "pinball loss over that of the oracle",
                "",
                pinball_of_law(truth.law, found),
                pinball_of_law(truth.law, truth.quantiles),
                more_is_better=False,
            ),
            *quote_scores(self.judge.config.world.riders, truth, quoted),
            _mean("ride_min", "mean time of a ride on the quoted route", truth.law.mean(1)),
        ]


def quote_scores(riders: RiderConfig, truth: Truth, quoted_s: Array) -> list[Score]:
    """What riders do after a quote, and how often a ride of those that stay takes longer than quoted."""
    cancels = p_cancel(riders, quoted_s, truth.free_s)
    late = (truth.law > quoted_s[:, None]).mean(1)
    return [
        Score(
            "cancelled", "share of quotes that riders cancel", "", cancels, np.ones(len(cancels)), more_is_better=False
        ),
        Score(
            "late",
            "share of rides that take longer than quoted",
            "",
            late * (1 - cancels),
            1 - cancels,
            more_is_better=False,
        ),
    ]


def interval_loss(law: Array, quantiles: Array) -> Array:
    """float64[n]: the expected interval score of P10 to P90. The true quantiles have the smallest one."""
    low, high = quantiles[:, :1], quantiles[:, 2:]
    outside = np.maximum(low - law, 0.0) + np.maximum(law - high, 0.0)
    found: Array = (high - low)[:, 0] + 10.0 * outside.mean(1)
    return found


def _mean(id: str, text: str, seconds: Array, rows: Bools | None = None, target: float | None = None) -> Score:
    """A mean in minutes over the rides in `rows`, of which less is better if there is no `target`."""
    weight = np.ones(len(seconds)) if rows is None else rows.astype(np.float64)
    return Score(id, text, "min", seconds * weight / 60, weight, more_is_better=False, target=target)
