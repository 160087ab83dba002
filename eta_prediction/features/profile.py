"""The usual traffic: log ratio by group and time of the week, the offset of each edge, and the effect of rain.

    log(seconds / free-flow seconds) = offset of the edge + usual(group, time of the week) + rain effect(group) × rain

`fit_profile` learns it from the cells of some days. What a trip meets beyond it is the residual, which
`features.residuals` estimates from the newest traversals. `spread` is the size of such residuals at a time of the week:
a jam in the rush hour costs more than one at night.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.domain import GROUP_CLASS, GROUPS, Array, Ints, RoadGraph, hour_of_week
from eta_prediction.features.probes import Cells, EdgeSums

SLOTS = 7 * 24 * 12
"""slots of five minutes of a week, from Monday 00:00 on local clocks"""
SLOT_H = 1 / 12
KNOTS = 7 * 24 * 4
"""quarters of an hour of a week"""
WIDTH_H = 0.5
"""bandwidth of the smoothing over the hour"""
SPREAD_WIDTH_H = 0.75
SAME_KIND = 0.8
"""weight of another day of the same kind, workday or weekend, when a day of the week is smoothed"""
RANK, KEPT = 2, 0.25
"""groups share `RANK` shapes of a week; the share `KEPT` of what deviates from them is kept"""
LEAST_SPREAD = 0.03
ROUNDS = 2


@dataclass(frozen=True)
class Profile:
    """`usual` float64[groups, SLOTS], `spread` float64[SLOTS], `rain_effect` float64[groups], `offset` float64[edges].

    `probe_sd` is the standard deviation of one traversal's log ratio around its cell.
    """

    usual: Array
    spread: Array
    rain_effect: Array
    offset: Array
    probe_sd: float
    time_zone: str

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Profile:
        with np.load(path, allow_pickle=False) as stored:
            values: dict[str, Any] = {item.name: stored[item.name] for item in fields(cls)}
        return cls(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})

    def slot(self, at_ts: Array) -> Array:
        """float64[n]: the time of the week in slots; the whole part is a slot's number."""
        return hour_of_week(at_ts, self.time_zone) / SLOT_H

    def edge_log_ratio(self, graph: RoadGraph, edge: Ints, slot: Ints, rain: Array) -> Array:
        """float64[m]: usual log ratio of edges int64[m] in slots int64[m] with `rain` float64[m]."""
        group = graph.group[edge]
        found: Array = self.usual.ravel()[group * SLOTS + slot] + self.offset[edge] + self.rain_effect[group] * rain
        return found

    def edge_seconds(self, graph: RoadGraph, at_ts: float, rain: float = 0.0) -> Array:
        """float64[edges]: usual times of all edges at one time, for instance to route with."""
        slot = int(self.slot(np.array([at_ts]))[0])
        of_group = self.usual[:, slot] + self.rain_effect * rain
        found: Array = graph.free_s * np.exp(of_group[graph.group] + self.offset)
        return found

    def traffic(self, slot: Array) -> Array:
        """float64[n]: the usual log ratio of the whole city at times of the week."""
        return self._city[slot.astype(np.int64)]

    @cached_property
    def _city(self) -> Array:
        """float64[SLOTS]"""
        found: Array = self.usual.mean(0)
        return found


def fit_profile(cells: Cells, rain: Array, edges: EdgeSums, time_zone: str) -> Profile:
    """`rain` float64[steps] belongs to the steps of `cells`. Each step should be of a day to learn from."""
    weight = cells.count / (cells.count + 2.0)  # a cell's own traffic varies too, so many traversals add little
    mean, hour = cells.mean, hour_of_week(cells.middle_ts, time_zone)
    knot = (hour * 4).astype(np.int64) % KNOTS
    smoother, effect = _smoother(WIDTH_H), np.zeros(GROUPS)
    usual = np.zeros((KNOTS, GROUPS))
    for _ in range(ROUNDS):
        dry = mean - effect * rain[:, None]
        usual = _low_rank(_averaged(knot, weight, dry, smoother))
        effect = _rain_effect(mean - usual[knot], weight, rain)
    residual = mean - usual[knot] - effect * rain[:, None]
    probe_sd = float(np.sqrt(edges.square / max(edges.count.sum() - (cells.count > 0).sum(), 1.0)))
    spread = _spread(knot, cells.count, residual, probe_sd)
    at: Array = (np.arange(SLOTS, dtype=np.float64) + 0.5) * SLOT_H
    return Profile(
        usual=np.stack([_between(usual[:, group], at) for group in range(GROUPS)]),
        spread=_between(spread, at),
        rain_effect=effect,
        offset=_offsets(edges, probe_sd),
        probe_sd=probe_sd,
        time_zone=time_zone,
    )


@cache
def _smoother(width_h: float) -> Array:
    """float64[KNOTS, KNOTS]: the weight of a knot's data in another knot's average.

    Over the hour, the kernel is of fourth order: it does not flatten peaks. Other days of the same kind count less.
    """
    day, quarter = np.divmod(np.arange(KNOTS), 96)
    apart = np.abs(quarter[:, None] - quarter)
    apart = np.minimum(apart, 96 - apart) / 4 / width_h
    over_hour = np.where(apart < 4, (1.5 - 0.5 * apart**2) * np.exp(-0.5 * apart**2), 0.0)
    is_weekend = day >= 5
    over_days = np.where(day[:, None] == day, 1.0, np.where(is_weekend[:, None] == is_weekend, SAME_KIND, 0.0))
    found: Array = over_hour * over_days
    return found


def _averaged(knot: Ints, weight: Array, values: Array, smoother: Array) -> Array:
    """float64[KNOTS, groups]: smoothed means. A knot near no data gets the group's mean."""
    sums = np.zeros((2, KNOTS, weight.shape[1]))
    np.add.at(sums[0], knot, weight)
    np.add.at(sums[1], knot, weight * values)
    mean = sums[1].sum(0) / np.maximum(sums[0].sum(0), 1e-9)
    below, above = smoother @ sums[0], smoother @ sums[1]
    some = 0.5
    is_seen = below > some
    found: Array = np.where(is_seen, above / np.where(is_seen, below, 1.0), mean)
    return found


def _low_rank(usual: Array) -> Array:
    """Shrink each group's deviation from the shapes that all groups share."""
    shapes = np.linalg.eigh(usual.T @ usual)[1][:, -RANK:]
    shared = usual @ shapes @ shapes.T
    found: Array = shared + KEPT * (usual - shared)
    return found


def _rain_effect(residual: Array, weight: Array, rain: Array) -> Array:
    """float64[groups]: regression on rain, one coefficient for each class of road."""
    effect = np.zeros(GROUPS)
    for road in np.unique(GROUP_CLASS):
        mine = road == GROUP_CLASS
        w, r = weight[:, mine].sum(1), (weight * residual)[:, mine].sum(1)
        total = max(w.sum(), 1e-9)
        centred = rain - (w @ rain) / total
        effect[mine] = (centred @ r) / max(w @ centred**2, 0.02 * total)
    return effect


def _spread(knot: Ints, count: Array, residual: Array, probe_sd: float) -> Array:
    """float64[KNOTS]: standard deviation of the residuals of cells, without the noise of their probes."""
    seen = count >= 3
    excess = np.where(seen, residual**2 - probe_sd**2 / np.maximum(count, 1.0), 0.0)
    sums = np.zeros((2, KNOTS))
    np.add.at(sums[0], knot, seen.sum(1))
    np.add.at(sums[1], knot, excess.sum(1))
    smoother = np.maximum(_smoother(SPREAD_WIDTH_H), 0.0)
    variance = (smoother @ sums[1]) / np.maximum(smoother @ sums[0], 1.0)
    found: Array = np.sqrt(np.maximum(variance, LEAST_SPREAD**2))
    return found


def _between(knots: Array, at_h: Array) -> Array:
    """Values at hours of the week `at_h`, linear between the middles of the quarters."""
    middle = (np.arange(-1, KNOTS + 1) + 0.5) / 4
    found: Array = np.interp(at_h, middle, np.r_[knots[-1], knots, knots[0]])
    return found


def _offsets(edges: EdgeSums, probe_sd: float) -> Array:
    """float64[edges]: mean deviation of each edge, shrunk by how much the edges differ beyond chance."""
    seen = edges.count >= 5
    if not seen.any():
        return np.zeros(len(edges.count))
    mean = edges.total / np.maximum(edges.count, 1.0)
    chance = probe_sd**2 / np.maximum(edges.count, 1.0)
    variance = max(float(np.average((mean**2 - chance)[seen], weights=edges.count[seen])), 1e-6)
    found: Array = mean * variance / (variance + chance)
    return found
