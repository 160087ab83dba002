"""The law of the congestion ahead is that of simulated paths."""

from __future__ import annotations

import numpy as np

from eta_prediction.config import SMOKE
from eta_prediction.domain import GROUPS
from eta_prediction.world.city import make_city
from eta_prediction.world.traffic.ahead import law_of_z
from eta_prediction.world.traffic.filter import follow, prior
from eta_prediction.world.traffic.process import make_traffic

TRAFFIC = make_traffic(SMOKE.world.traffic, make_city(SMOKE.world.city, SMOKE.world.seed))


def test_law_of_congestion_ahead_is_that_of_the_process() -> None:
    """From a known state, mean and covariance of later steps are those of simulated paths."""
    rng, runs = np.random.default_rng(4), 4000
    group, ahead = np.array([0, 5, 5, 40]), np.array([0, 1, 4, 4])
    known = follow(TRAFFIC, prior(TRAFFIC), np.linspace(-0.5, 0.5, GROUPS), np.full(GROUPS, 4.0), 0.3)
    root = np.linalg.cholesky(known.covariance)
    found = np.empty((runs, 4))
    for run in range(runs):
        start = known.mean + root @ rng.normal(size=GROUPS)
        z = np.concatenate([start[None], TRAFFIC.path(rng, start, 4)])
        found[run] = z[ahead, group]
    mean, covariance = law_of_z(TRAFFIC, known, group, ahead)
    np.testing.assert_allclose(found.mean(0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.06)
