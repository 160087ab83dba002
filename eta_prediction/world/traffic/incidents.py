"""Incidents on arterials and motorways: each one costs every trip that passes it a queue, and is reported late.

An incident begins by a Poisson process and lasts Exp(life). It is reported Exp(report) after it began, unless it has
ended by then. A cleared incident is reported at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import IncidentConfig
from eta_prediction.domain import LOCAL, Array, Ints, RoadGraph
from infra.columns import DAY_S

MINUTE_S = 60.0


@dataclass(frozen=True)
class Incidents:
    """`edge` int64[n]; the times and `queue_s` float64[n]. `reported_ts` is infinite if the incident ended first."""

    edge: Ints
    begin_ts: Array
    end_ts: Array
    reported_ts: Array
    queue_s: Array

    def __len__(self) -> int:
        return len(self.edge)


def edge_rates(config: IncidentConfig, graph: RoadGraph) -> Array:
    """float64[edges]: incidents per second that begin on each edge, proportional to the length of large roads."""
    weight = np.where(graph.road == LOCAL, 0.0, graph.length_m)
    found: Array = config.per_day / DAY_S * weight / weight.sum()
    return found


def draw_incidents(
    config: IncidentConfig, rates: Array, rng: np.random.Generator, begin_ts: float, seconds: float
) -> Incidents:
    """The incidents that begin within `seconds` of `begin_ts`, in order."""
    n = int(rng.poisson(rates.sum() * seconds))
    begin = np.sort(begin_ts + seconds * rng.random(n))
    edge = rng.choice(len(rates), n, p=rates / rates.sum())
    end = begin + rng.exponential(config.life_min * MINUTE_S, n)
    reported = begin + rng.exponential(config.report_min * MINUTE_S, n)
    queue = rng.exponential(config.queue_s, n)
    return Incidents(edge, begin, end, np.where(reported < end, reported, np.inf), queue)


def unreported_mean(config: IncidentConfig, rates: Array, now_ts: Array, at_ts: Array) -> Array:
    """Expected number of incidents that are active on an edge at `at_ts` >= `now_ts` and not reported at `now_ts`.

    Those that began before now: rate × exp(-ahead / life) / (1/report + 1/life). Those that begin later:
    rate × life × (1 - exp(-ahead / life)). Their number is Poisson, because thinning keeps a Poisson process.
    """
    life, report = config.life_min * MINUTE_S, config.report_min * MINUTE_S
    stays = np.exp(-(at_ts - now_ts) / life)
    found: Array = rates * (stays / (1 / report + 1 / life) + life * (1 - stays))
    return found
