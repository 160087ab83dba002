"""The great circle's answer recovers a planted pace, detour and interval."""

from __future__ import annotations

import numpy as np
import pytest

from eta_prediction.features.great_circle import GreatCircle, fit_great_circle


def test_planted_pace_detour_and_interval_are_recovered() -> None:
    rng = np.random.default_rng(0)
    metres = rng.uniform(500, 12_000, 20_000)
    seconds = (180 + 0.12 * metres) * np.exp(0.2 * rng.normal(size=len(metres)))
    found = fit_great_circle(metres, 1.3 * metres / 1000, seconds)
    mean = np.exp(0.5 * 0.2**2)
    assert found.fixed_s == pytest.approx(180 * mean, rel=0.1)
    assert found.s_per_m == pytest.approx(0.12 * mean, rel=0.03)
    assert found.detour == pytest.approx(1.3)
    low, _, high = found.quantiles(metres).T
    assert ((seconds > low) & (seconds < high)).mean() == pytest.approx(0.8, abs=0.001)


def test_it_survives_json() -> None:
    found = GreatCircle(100.0, 0.1, 1.4, (0.7, 1.0, 1.5))
    assert GreatCircle.of_json(found.as_json() | {"interval": list(found.interval)}) == found
