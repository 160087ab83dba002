"""How much of the reducible error any model can remove that learns from this log.

The oracle knows the usual traffic and each driver's habit exactly; a log of four weeks has them with noise. The ceiling
is a forecaster with all equations and all other parameters of the world, but with the usual traffic and the habits that
the build has estimated: its traversals, its filter and its routes are all measured against the estimated profile.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import GROUPS, Array
from eta_prediction.features.profile import SLOTS, Profile
from eta_prediction.model.inputs import column
from eta_prediction.offline.generate import MOST_A_DAY
from eta_prediction.offline.samples import Sample
from eta_prediction.world.law.laws import laws_of_day
from eta_prediction.world.law.segments import segments
from eta_prediction.world.replayed import Observed, ReplayedDay, replay_days
from eta_prediction.world.traffic.filter import Posterior, follow, prior
from eta_prediction.world.truth import World, make_world
from infra.progress import Progress
from infra.routing.choose import find_order, open_engine
from infra.simulation.streams import start_ts


def learned_medians(config: WorldConfig, profile: Profile, sample: Sample, draws: int, report: Progress) -> Array:
    """float64[n]: the ceiling's median of each trip of `sample`, whose days follow those of `profile`."""
    world, found = make_world(config), np.empty(len(sample))
    topology = world.graph.topology
    engine = open_engine(topology, find_order(topology), world.graph.free_s)
    habit = column(sample.x, "driver_habit") * column(sample.x, "driver_known")
    days = range(int(sample.day.min()), int(sample.day.max()) + 1)
    posterior = prior(world.traffic)
    for replayed in replay_days(world, engine, range(days.start - 1, days.stop)):
        learned, posterior = as_learned(world, profile, replayed, posterior)
        rows = np.flatnonzero(sample.day == replayed.day)
        trips = sample.trip_id[rows] - replayed.day * MOST_A_DAY
        planned = learned.found.planned
        habits = planned.trips.habit.copy()
        habits[trips] = habit[rows]
        planned = replace(planned, trips=replace(planned.trips, habit=habits))
        learned = replace(learned, found=replace(learned.found, planned=planned))
        if len(rows):
            found[rows] = np.median(laws_of_day(world, learned, trips, draws), axis=1)
        report((replayed.day - days.start + 1) / len(days), f"the ceiling of day {replayed.day + 1}")
    return found


def as_learned(
    world: World, profile: Profile, replayed: ReplayedDay, before: Posterior
) -> tuple[ReplayedDay, Posterior]:
    """The day as an observer sees it who takes `profile` for the usual traffic, and the posterior at its end."""
    found, planned, graph = replayed.found, replayed.found.planned, world.graph
    edges, then = planned.routes.edges, found.state.at(planned.step)
    step_ts = start_ts(world.config) + planned.step * world.config.traffic.step_s
    slot = profile.slot(np.asarray(step_ts, np.float64)).astype(np.int64) % SLOTS
    usual_s = graph.free_s[edges] * np.exp(profile.edge_log_ratio(graph, edges, slot, found.state.rain[then]))
    kept = ~found.is_cancelled[planned.routes.owner]
    residual, group = np.log(found.edge_s / usual_s), graph.group[edges]
    steps = len(found.state.profile)
    cell = (then * GROUPS + group)[kept]
    count, total = (
        np.bincount(cell, values, steps * GROUPS).reshape(steps, GROUPS) for values in (None, residual[kept])
    )
    known = [before]
    for step in range(steps):
        mean = total[step] / np.maximum(count[step], 1)
        known.append(follow(world.traffic, known[-1], mean, count[step].astype(float), found.state.swing[step]))
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(planned.reach_ts[rows], kind="stable")]
    observed = Observed(planned.reach_ts[rows], then[rows], group[rows], residual[rows])
    parts = segments(planned.routes, group, planned.step, usual_s)
    learned = replace(found, planned=replace(planned, parts=parts))
    return replace(replayed, found=learned, known=known, observed=observed, _minutes={}), known[-1]
