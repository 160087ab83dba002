"""Reported incidents on routes, as known at the departure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.events.history import IncidentRows
from infra.routing.routes import Routes

PRIOR_LIFE_S, PRIOR_COUNT = 1_800.0, 5.0


@dataclass(frozen=True)
class KnownIncidents:
    """Reported incidents in order of their edge: `edge` int64[n], `reported_ts` and `cleared_ts` float64[n].

    `life_s` is the mean time until a reported incident is cleared.
    """

    edge: Ints
    reported_ts: Array
    cleared_ts: Array
    life_s: float

    @classmethod
    def of(cls, rows: IncidentRows, life_s: float, begin_ts: float = -np.inf, end_ts: float = np.inf) -> KnownIncidents:
        """The incidents that a departure between `begin_ts` and `end_ts` may know."""
        kept = np.flatnonzero((rows.reported_ts <= end_ts) & (rows.cleared_ts > begin_ts))
        kept = kept[np.argsort(rows.edge[kept], kind="stable")]
        return cls(rows.edge[kept], rows.reported_ts[kept], rows.cleared_ts[kept], life_s)


def mean_life_s(rows: IncidentRows, until_ts: float) -> float:
    """Mean time from the report to the clearance of the incidents reported before `until_ts`, as known then.

    The time on the road divided by the number of clearances is unbiased for incidents that are still there.
    """
    known = rows.reported_ts < until_ts
    there_s = np.minimum(rows.cleared_ts, until_ts)[known] - rows.reported_ts[known]
    cleared = float((rows.cleared_ts[known] <= until_ts).sum())
    return float((there_s.sum() + PRIOR_COUNT * PRIOR_LIFE_S) / (cleared + PRIOR_COUNT))


def incidents_on(routes: Routes, departure_ts: Array, lead_s: Array, known: KnownIncidents) -> tuple[Array, Array]:
    """(number of incidents, expected number that is still there when the trip passes) float64[trips].

    `departure_ts` float64[trips]; `lead_s` float64[m] is the time from the departure to each edge of the routes. An
    incident counts if it is reported and not cleared at the departure.
    """
    if not len(known.edge):
        return np.zeros(routes.trips), np.zeros(routes.trips)
    first = np.searchsorted(known.edge, routes.edges, "left")
    last = np.searchsorted(known.edge, routes.edges, "right")
    met = np.flatnonzero(last > first)
    if not len(met):
        return np.zeros(routes.trips), np.zeros(routes.trips)
    count = (last - first)[met]
    at = np.repeat(met, count)
    row = np.repeat(first[met] - (np.cumsum(count) - count), count) + np.arange(len(at))
    now = departure_ts[routes.owner[at]]
    there = (known.reported_ts[row] <= now) & (known.cleared_ts[row] > now)
    owner, lead = routes.owner[at][there], lead_s[at][there]
    expected = np.bincount(owner, np.exp(-lead / known.life_s), routes.trips)
    return np.bincount(owner, minlength=routes.trips).astype(np.float64), expected.astype(np.float64)
