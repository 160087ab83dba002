"""The speed forecast by horizon: what the residual of each group will be in the next minutes.

The inputs are estimates of u (`features.residuals`) from a group's own traversals, from those of groups nearby, from
its class of road and from the whole city. A ridge regression per horizon (`offline.fit_forecast`) weighs them. A
forecast of u times the spread of its hour is the residual log ratio. Far horizons shrink to 0, the usual traffic.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eta_prediction.domain import GROUP_CLASS, GROUPS, Array, RoadGraph
from eta_prediction.features.profile import SLOTS, Profile
from infra.routing.snap import METRES_PER_DEGREE

Floats = npt.NDArray[np.float32]
HORIZONS_MIN = (5, 10, 15, 20, 30, 40, 50, 60)
"""the ends of the steps of five minutes that the forecasts are for"""
MIDDLES_MIN = np.array(HORIZONS_MIN) - 2.5
NEAR_M = (1_500.0, 4_000.0)
"""scales of distance between groups"""
OWN, FAST_OWN = 0, 1
INPUTS = ("own", "own_fast", "near", "near_fast", "around", "around_fast", "class", "city", "city_fast")
GROUP_INPUTS = 2
"""the first inputs, which are those of the group alone"""


@dataclass(frozen=True)
class SpeedForecast:
    """`weights` float64[HORIZONS, INPUTS], and `kernels` float64[kinds, groups, groups]: how much the sums of one group
    count for another one, nearby, around, in the same class, and in the city."""

    weights: Array
    kernels: Array

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> SpeedForecast:
        with np.load(path, allow_pickle=False) as stored:
            return cls(*(stored[item.name] for item in fields(cls)))

    def apply(self, profile: Profile, sums: Array, slot: Array) -> Floats:
        """float32[k, groups, HORIZONS]: residual log ratios forecast from `sums` float64[k, PARTS, groups].

        `slot` float64[k] is the time of the week of the sums, in slots.
        """
        u = forecast_inputs(self.kernels, profile.probe_sd, sums) @ self.weights.T
        return (u * spread_ahead(profile, slot)[:, None]).astype(np.float32)


def latest(profile: Profile, sums: Array, slot: Array) -> Floats:
    """float32[k, groups, HORIZONS]: the speeds of now, for every horizon."""
    u = estimates(sums[:, 2], sums[:, 3], profile.probe_sd)
    now = profile.spread[slot.astype(np.int64) % SLOTS]
    return np.repeat((u * now[:, None])[..., None], len(HORIZONS_MIN), axis=2).astype(np.float32)


def estimates(sr: Array, ss: Array, probe_sd: float) -> Array:
    found: Array = sr / (ss + probe_sd**2)
    return found


def forecast_inputs(kernels: Array, probe_sd: float, sums: Array) -> Array:
    """float64[k, groups, INPUTS]"""
    slow_sr, slow_ss, fast_sr, fast_ss = (sums[:, row] for row in range(4))
    near, around, road, city = kernels
    columns = [estimates(slow_sr, slow_ss, probe_sd), estimates(fast_sr, fast_ss, probe_sd)]
    for kernel in (near, around):
        columns += [
            estimates(sr @ kernel.T, ss @ kernel.T, probe_sd) for sr, ss in ((slow_sr, slow_ss), (fast_sr, fast_ss))
        ]
    columns.append(estimates(slow_sr @ road.T, slow_ss @ road.T, probe_sd))
    columns += [estimates(sr @ city.T, ss @ city.T, probe_sd) for sr, ss in ((slow_sr, slow_ss), (fast_sr, fast_ss))]
    return np.stack(columns, axis=2)


def spread_ahead(profile: Profile, slot: Array) -> Array:
    """float64[k, HORIZONS]: the spread in the middle of each forecast step."""
    ahead = (slot[:, None] + MIDDLES_MIN / 5).astype(np.int64) % SLOTS
    found: Array = profile.spread[ahead]
    return found


def make_kernels(graph: RoadGraph) -> Array:
    """float64[kinds, groups, groups], from the distances between the groups' centres."""
    weight = np.maximum(np.bincount(graph.group, graph.length_m, GROUPS), 1e-9)
    east = METRES_PER_DEGREE * np.cos(np.radians(graph.lat.mean()))
    x, y = (
        np.bincount(graph.group, graph.length_m * value[graph.tail], GROUPS) / weight
        for value in (graph.lon * east, graph.lat * METRES_PER_DEGREE)
    )
    away = np.hypot(x[:, None] - x, y[:, None] - y)
    other = 1.0 - np.eye(GROUPS)
    near, around = (np.exp(-away / scale) * other for scale in NEAR_M)
    same_class = (GROUP_CLASS[:, None] == GROUP_CLASS).astype(np.float64)
    return np.stack([near, around, same_class, np.ones((GROUPS, GROUPS))])
