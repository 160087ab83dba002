"""What a route says about the time of a trip: length, usual time, time at the speeds of now, turns, incidents.

The build computes the inputs of all trips of a day at once, and a request those of its routes, with the same function.
A trip reaches an edge after the usual times of the edges before it. The forecast speeds of that moment apply up to the
horizon of the knob `live_horizon_min`, and the usual traffic of that moment beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from eta_prediction.domain import GROUPS, LOCAL, MOTORWAY, Array, Ints, RoadGraph
from eta_prediction.features.edge_residuals import EdgeTraffic
from eta_prediction.features.forecast import HORIZONS_MIN, MIDDLES_MIN
from eta_prediction.features.incidents import KnownIncidents, incidents_on
from eta_prediction.features.probes import STEP_S
from eta_prediction.features.profile import SLOTS, Profile
from eta_prediction.features.speeds import Floats
from infra.routing.routes import Routes

ENOUGH = 4.0
"""decayed traversals with which half of a group's traffic counts as observed"""
PLACES = np.arange(len(HORIZONS_MIN), dtype=np.float64)


@dataclass(frozen=True)
class RouteInputs:
    """float64[n] each, for n trips.

    `traffic` is the usual log ratio of the city at the departure. `…_residual` are forecast log ratios of the next
    minutes beyond the usual ones, and `observed_share` is the share of the route's time in groups that are observed.
    """

    km: Array
    free_s: Array
    profile_s: Array
    live_s: Array
    turns: Array
    signals: Array
    local_share: Array
    motorway_share: Array
    traffic: Array
    incidents: Array
    incidents_expected: Array
    city_residual: Array
    origin_residual: Array
    destination_residual: Array
    observed_share: Array

    def take(self, rows: Ints) -> RouteInputs:
        return RouteInputs(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class Snapshots:
    """Speeds at k times: `forecast` float32[k, groups, HORIZONS], `observed` float32[k, groups], `made_ts` float64[k].

    What follows from them is computed once, because many requests use one snapshot.
    """

    forecast: Floats
    observed: Floats
    made_ts: Array

    @cached_property
    def next_minutes(self) -> Array:
        """float64[k, groups]: the forecast of the first horizon."""
        return self.forecast[:, :, 0].astype(np.float64)

    @cached_property
    def city(self) -> Array:
        """float64[k]: its mean over the groups."""
        return np.asarray(self.next_minutes.mean(1))

    @cached_property
    def observed_share(self) -> Floats:
        """float32[k * groups]: the share of each group's traffic that counts as observed."""
        return (self.observed / (self.observed + ENOUGH)).ravel()


@dataclass(frozen=True)
class Traffic:
    """The speeds that each of n trips knows at its departure.

    `snapshot` int64[n] is the one of `snapshots` that each trip uses, and `rain` float64[n] the rain that it knows.
    `by_edge` replaces the forecasts of groups, if `probe_smoothing` is "edge".
    """

    snapshots: Snapshots
    snapshot: Ints
    rain: Array
    by_edge: EdgeTraffic | None = None


@dataclass(frozen=True)
class Roads:
    """What the inputs need besides the routes and the traffic: the map, the usual traffic, and the knob."""

    graph: RoadGraph
    profile: Profile
    live_horizon_min: float


def route_inputs(
    roads: Roads, routes: Routes, departure_ts: Array, traffic: Traffic, incidents: KnownIncidents
) -> RouteInputs:
    """`departure_ts` float64[trips]. Every route has at least one edge."""
    graph, profile = roads.graph, roads.profile
    edges, owner = routes.edges, routes.owner
    group, free_s = graph.group.take(edges), graph.free_s.take(edges)
    slot = profile.slot(departure_ts)
    fixed = profile.offset.take(edges) + (profile.rain_effect.take(group) * traffic.rain.take(owner))
    base, usual = group * SLOTS, profile.usual.ravel()
    slots = slot.take(owner)
    lead_s = routes.before(free_s * np.exp(usual.take(base + slots.astype(np.int64)) + fixed))
    then = (slots + lead_s / STEP_S).astype(np.int64) % SLOTS
    profile_s = free_s * np.exp(usual.take(base + then) + fixed)
    live_s = profile_s * np.exp(residual_ahead(roads, routes, group, departure_ts, lead_s, then, traffic))
    number, expected = incidents_on(routes, departure_ts, lead_s, incidents)
    first, last = routes.first, np.full(routes.trips, len(owner) - 1)
    last[:-1] = first[1:] - 1
    snapshots, snapshot = traffic.snapshots, traffic.snapshot
    observed = snapshots.observed_share.take(snapshot.take(owner) * GROUPS + group)
    road = graph.road.take(edges)
    length_m, free_total, profile_total, live_total, turns, signals, local_s, motorway_s, observed_s = routes.totals(
        [
            graph.length_m.take(edges),
            free_s,
            profile_s,
            live_s,
            graph.turns(routes),
            graph.signals(routes),
            free_s * (road == LOCAL),
            free_s * (road == MOTORWAY),
            observed * profile_s,
        ]
    )
    return RouteInputs(
        km=length_m / 1000,
        free_s=free_total,
        profile_s=profile_total,
        live_s=live_total,
        turns=turns,
        signals=signals,
        local_share=local_s / free_total,
        motorway_share=motorway_s / free_total,
        traffic=profile.traffic(slot),
        incidents=number,
        incidents_expected=expected,
        city_residual=snapshots.city.take(snapshot),
        origin_residual=snapshots.next_minutes[snapshot, group.take(first)],
        destination_residual=snapshots.next_minutes[snapshot, group.take(last)],
        observed_share=observed_s / profile_total,
    )


def residual_ahead(
    roads: Roads, routes: Routes, group: Ints, departure_ts: Array, lead_s: Array, then: Ints, traffic: Traffic
) -> Array:
    """float64[m]: the forecast residual of each edge when the trip reaches it, 0 beyond the horizon of the knob.

    `lead_s` float64[m] is the time from the departure to each edge, and `then` int64[m] the slot of the week by then.
    """
    age_s = np.maximum(departure_ts - traffic.snapshots.made_ts.take(traffic.snapshot), 0.0)
    ahead_min = (lead_s + age_s.take(routes.owner)) / 60
    place = np.interp(ahead_min, MIDDLES_MIN, PLACES)
    below = np.minimum(place.astype(np.int64), len(HORIZONS_MIN) - 2)
    share = place - below
    if traffic.by_edge is not None:
        fade = traffic.by_edge.fade
        left = fade[below] * (1 - share) + fade[below + 1] * share
        return np.where(
            lead_s <= 60 * roads.live_horizon_min, traffic.by_edge.u * left * roads.profile.spread[then], 0.0
        )
    flat = traffic.snapshots.forecast.ravel()
    at = (traffic.snapshot.take(routes.owner) * GROUPS + group) * len(HORIZONS_MIN) + below
    found: Array = flat.take(at) * (1 - share) + flat.take(at + 1) * share
    return np.where(lead_s <= 60 * roads.live_horizon_min, found, 0.0)


def live_edge_seconds(roads: Roads, speeds_forecast: Floats, at_ts: float, rain: float) -> Array:
    """float64[edges]: times of all edges at the speeds of the next minutes, to route with."""
    found: Array = roads.profile.edge_seconds(roads.graph, at_ts, rain) * np.exp(
        speeds_forecast[:, 0].astype(np.float64)[roads.graph.group]
    )
    return found
