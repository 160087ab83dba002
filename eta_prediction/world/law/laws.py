"""The true law of the time of each trip of a day, given what a server could know at its departure.

Known: the route, the places, the hour, the rain, all traversals that began before the minute of the departure, the
incidents that are reported and not cleared, and the driver assigned at the quote. A server does not know how long the
queue of an incident is. `withheld` removes one kind of knowledge, and so shows what it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.stats import norm, qmc

from eta_prediction.domain import Array, Ints
from eta_prediction.world.law.trip_law import Trips, draw_factor, draw_overheads
from eta_prediction.world.replayed import MINUTE_S, ReplayedDay
from eta_prediction.world.traffic.ahead import law_of_z
from eta_prediction.world.traffic.filter import Posterior, prior
from eta_prediction.world.traffic.incidents import unreported_mean
from eta_prediction.world.truth import World
from infra.simulation.streams import start_ts, stream

Knowledge = Literal["traffic", "turns", "places", "incidents", "driver"]
KNOWLEDGE: tuple[Knowledge, ...] = ("traffic", "turns", "places", "incidents", "driver")
AT_ONCE = 512
MOST_SEGMENTS = 128
"""a trip crosses fewer pairs of group and step"""
SETS = 16
"""independent sets of quasi-random points; a trip uses one of them"""


@dataclass(frozen=True)
class Queues:
    """`unknown` float64[n]: expected incidents on each trip's way that nobody has reported. `trip` int64[k] and `stays`
    float64[k]: a reported incident on a trip's way, and the probability that it is still there when the trip passes."""

    unknown: Array
    trip: Ints
    stays: Array


def laws_of_day(
    world: World, replayed: ReplayedDay, rows: Ints, draws: int = 256, withheld: Knowledge | None = None
) -> Array:
    """float64[n, draws]: times in seconds, drawn for the trips `rows` int64[n] of the day. `draws` is a power of 2."""
    found, config = replayed.found, world.config
    trips, queues = _known_trips(world, replayed, withheld), queues_ahead(world, replayed, withheld)
    rng, normals = stream(config.seed, "laws", replayed.day), _normal_points(draws, config.seed)
    first = np.searchsorted(found.planned.parts.owner, np.arange(len(trips) + 1))
    law: Array = np.empty((len(rows), draws))
    for begin in range(0, len(rows), AT_ONCE):
        part = rows[begin : begin + AT_ONCE]
        some = Trips(*(values[part] for values in vars(trips).values()))
        on_road = np.stack(
            [
                _driving(world, replayed, slice(first[trip], first[trip + 1]), trip, normals, withheld)
                for trip in part.tolist()
            ],
            axis=1,
        )
        on_road += some.turns_s + _draw_queues(world, queues, part, draws, rng)
        factor = draw_factor(config.trips, some, rng, draws, knows_driver=withheld != "driver")
        law[begin : begin + len(part)] = (draw_overheads(config.trips, some, rng, draws) + factor * on_road).T
    return law


def queues_ahead(world: World, replayed: ReplayedDay, withheld: Knowledge | None = None) -> Queues:
    """What a server can know of the incidents on the ways of the day's trips."""
    planned, incidents, config = replayed.found.planned, replayed.found.state.incidents, world.config.incidents
    routes, now_ts = planned.routes, planned.demand.at_ts
    rate, life_s = world.incident_rate[routes.edges], config.life_min * MINUTE_S
    if withheld == "incidents":
        return Queues(routes.total(rate * life_s), np.zeros(0, np.int64), np.zeros(0))
    unknown = routes.total(unreported_mean(config, rate, now_ts[routes.owner], planned.reach_ts))
    order = np.argsort(routes.edges, kind="stable")
    low, high = (np.searchsorted(routes.edges[order], incidents.edge, side) for side in ("left", "right"))
    trip, stays = [np.zeros(0, np.int64)], [np.zeros(0)]
    for number in range(len(incidents)):
        at = order[low[number] : high[number]]
        now = now_ts[routes.owner[at]]
        at = at[(incidents.reported_ts[number] <= now) & (now < incidents.end_ts[number])]
        trip.append(routes.owner[at])
        stays.append(np.exp(-(planned.reach_ts[at] - now_ts[routes.owner[at]]) / life_s))
    return Queues(unknown, np.concatenate(trip), np.concatenate(stays))


def _draw_queues(world: World, queues: Queues, rows: Ints, draws: int, rng: np.random.Generator) -> Array:
    """float64[draws, n]"""
    mean_s = world.config.incidents.queue_s
    count = rng.poisson(queues.unknown[rows], (draws, len(rows)))
    place = {trip: number for number, trip in enumerate(rows.tolist())}
    for trip, stays in zip(queues.trip.tolist(), queues.stays.tolist(), strict=True):
        if trip in place:
            count[:, place[trip]] += rng.random(draws) < stays
    found: Array = mean_s * rng.gamma(count)
    return found


def _driving(
    world: World, replayed: ReplayedDay, part: slice, trip: int, normals: Array, withheld: Knowledge | None
) -> Array:
    """float64[draws]: Σ a_j e^(A z_j) of one trip."""
    state, planned = replayed.found.state, replayed.found.planned
    minute = int((planned.demand.at_ts[trip] - replayed.begin_ts) // MINUTE_S)
    step = state.at(planned.parts.step[part])
    known: Posterior = prior(world.traffic) if withheld == "traffic" else replayed.known_at(minute)
    ahead = np.maximum(step - int(minute * MINUTE_S // world.config.traffic.step_s), 0)
    mean, covariance = law_of_z(world.traffic, known, planned.parts.group[part], ahead)
    values, vectors = np.linalg.eigh(covariance)
    largest = np.argsort(-values)  # the first points of a set are the most even
    root = vectors[:, largest] * np.sqrt(np.maximum(values[largest], 0.0))
    z = mean + normals[trip % SETS][:, : len(values)] @ root.T
    found: Array = np.exp(state.swing[step] * z) @ planned.parts.seconds[part]
    return found


@lru_cache(maxsize=4)
def _normal_points(draws: int, seed: int) -> Array:
    """float64[SETS, draws, dimensions]: scrambled Sobol points as normal variables."""
    sets = [qmc.Sobol(MOST_SEGMENTS, scramble=True, rng=seed + number).random(draws) for number in range(SETS)]
    found: Array = norm.ppf(np.clip(np.stack(sets), 1e-12, 1 - 1e-12))
    return found


def _known_trips(world: World, replayed: ReplayedDay, withheld: Knowledge | None) -> Trips:
    """The trips' terms. The rest of the knowledge predicts a withheld one linearly."""
    planned = replayed.found.planned
    trips, departs = planned.trips, planned.demand.at_ts
    steps = ((departs - start_ts(world.config, replayed.day)) // world.config.traffic.step_s).astype(np.int64)
    usual = replayed.found.state.profile[steps]
    if withheld == "turns":
        driven = np.bincount(planned.parts.owner, planned.parts.seconds, len(trips))
        return replace(trips, turns_s=_fitted(trips.turns_s, driven, planned.km))
    if withheld == "places":
        return replace(
            trips, log_pick_up=_fitted(trips.log_pick_up, usual), log_drop_off=_fitted(trips.log_drop_off, usual)
        )
    return trips


def _fitted(values: Array, *by: Array | Ints) -> Array:
    inputs = np.stack([np.ones(len(values)), *by], axis=1)
    found: Array = inputs @ np.linalg.lstsq(inputs, values, rcond=None)[0]
    return found
