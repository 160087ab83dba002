"""The recurrent traffic of the week, in local time."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array


def profile(hour: Array) -> Array:
    """Recurrent traffic in [0, about 1.1] at hours of the week: two rush hours on workdays, a flat weekend."""
    of_day, is_weekend = hour % 24, hour >= 5 * 24
    morning, evening = _bump(of_day, 8.2, 1.1), _bump(of_day, 17.4, 1.5)
    workday = morning + evening + 0.25 * _bump(of_day, 13.0, 3.5)
    found: Array = np.where(is_weekend, 0.45 * _bump(of_day, 14.0, 3.5), workday)
    return found


def _bump(hour: Array, middle: float, width: float) -> Array:
    found: Array = np.exp(-0.5 * ((hour - middle) / width) ** 2)
    return found
