"""Samples with planted times: known bias by hour and type, known quantiles, inputs as the build assembles them."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array
from eta_prediction.model.inputs import NAMES, Floats

PER_DAY = 400


def planted(days: int, seed: int = 0) -> tuple[Floats, Array, Array]:
    """(inputs float32[n, NAMES], seconds float64[n], day int64[n]).

    A trip takes 1.3 times its live route at 8:00 and 1.0 times at 20:00, 200 s more if it is pooled, and has log-normal
    noise that is twice as wide in rain.
    """
    rng, n = np.random.default_rng(seed), days * PER_DAY
    x = np.zeros((n, len(NAMES)), np.float32)
    hour = rng.uniform(0, 24, n)
    route_s = rng.uniform(200, 2_500, n)
    columns = {
        "live_s": route_s,
        "profile_s": route_s * np.exp(0.15 * rng.normal(size=n)),
        "free_s": 0.7 * route_s,
        "km": route_s / 120,
        "hour_sin": np.sin(hour * np.pi / 12),
        "hour_cos": np.cos(hour * np.pi / 12),
        "is_pooled": rng.random(n) < 0.25,
        "rain": rng.random(n) < 0.3,
        "traffic": rng.uniform(0, 0.5, n),
        "local_share": rng.uniform(0, 1, n),
    }
    for name, values in columns.items():
        x[:, NAMES.index(name)] = values
    factor = 1.15 + 0.15 * np.cos((hour - 8) * np.pi / 12)
    noise = (0.1 + 0.1 * columns["rain"]) * rng.normal(size=n)
    seconds = route_s * factor * np.exp(noise) + 200.0 * columns["is_pooled"]
    return x, seconds, np.repeat(np.arange(days), PER_DAY)
