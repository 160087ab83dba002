"""The segments of a route: its edges of one group that are reached in one traffic step.

An edge belongs to the step in which the trip would reach it at the *nominal* pace, without congestion. The generated
times and their laws share these nominal times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import GROUPS, Array, Ints
from infra.routing.routes import Routes


@dataclass(frozen=True)
class Segments:
    """One row per (trip, group, step): `owner` (ascending), `group` and `step` int64[n], and `seconds` float64[n], the
    time without congestion."""

    owner: Ints
    group: Ints
    step: Ints
    seconds: Array


def segments(routes: Routes, group: Ints, step: Ints, seconds: Array) -> Segments:
    """Sum the edges of each (trip, group, step)."""
    first = step.min() if len(step) else 0
    span = int(step.max() - first + 1) if len(step) else 1
    key = (routes.owner * span + (step - first)) * GROUPS + group
    found, index = np.unique(key, return_inverse=True)
    rest, of_group = np.divmod(found, GROUPS)
    owner, of_step = np.divmod(rest, span)
    return Segments(owner, of_group, of_step + first, np.bincount(index, seconds, len(found)).astype(np.float64))
