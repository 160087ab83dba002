"""The ceiling knows more than a learner and less than the oracle; with the true profile it is the oracle."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import GROUPS, hour_of_week
from eta_prediction.evaluation.studies.ceiling import as_learned
from eta_prediction.features.profile import SLOT_H, SLOTS, Profile
from eta_prediction.world.law.laws import laws_of_day
from eta_prediction.world.traffic.filter import prior
from eta_prediction.world.traffic.rush import profile as rush
from infra.simulation.streams import start_ts
from tests.support.eta_city import CONFIG, days, world

DAY = 2


def true_profile(error: float = 0.0) -> Profile:
    """The world's own usual traffic in the middle of each traffic step, plus `error` in logs of pace."""
    hour = (np.arange(SLOTS) + 0.5) * SLOT_H
    dry = np.zeros(SLOTS)
    usual = np.stack([world().traffic.expected(rush(hour), dry, np.full(SLOTS, group)) for group in range(GROUPS)])
    groups = np.arange(GROUPS)
    rain = world().traffic.expected(np.zeros(GROUPS), np.ones(GROUPS), groups)
    return Profile(usual + error, np.ones(SLOTS), rain, np.zeros(world().graph.edges), 0.3, CONFIG.time_zone)


def medians(error: float) -> tuple[np.ndarray, np.ndarray]:
    """(medians of the ceiling, of the oracle) float64[n] of some trips of a day."""
    rows = np.arange(0, len(days()[DAY].found.time_s), 20)
    posterior = prior(world().traffic)
    for day in days()[:DAY]:
        _, posterior = as_learned(world(), true_profile(error), day, posterior)
    learned, _ = as_learned(world(), true_profile(error), days()[DAY], posterior)
    return tuple(np.median(laws_of_day(world(), day, rows, 128), axis=1) for day in (learned, days()[DAY]))  # type: ignore[return-value]


def test_ceiling_with_the_true_usual_traffic_is_the_oracle() -> None:
    assert hour_of_week(np.array([start_ts(CONFIG)]), CONFIG.time_zone)[0] * 12 % 1 == 0, "slots are traffic steps"
    ceiling, oracle = medians(0.0)
    np.testing.assert_allclose(ceiling, oracle, rtol=1e-3)


def test_traversals_correct_a_wrong_usual_traffic_in_part() -> None:
    """All roads seem a tenth slower than they are. The filter takes most of it for light traffic, but not all."""
    ceiling, oracle = medians(0.1)
    ratio = float(np.median(ceiling / oracle))
    assert 1.005 < ratio < 1.06
