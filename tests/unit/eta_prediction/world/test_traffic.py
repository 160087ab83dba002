"""Congestion follows its planted process, and the filter's posterior is exact."""

from __future__ import annotations

import numpy as np

from eta_prediction.config import SMOKE
from eta_prediction.domain import GROUPS
from eta_prediction.world.city import make_city
from eta_prediction.world.traffic.filter import follow, prior
from eta_prediction.world.traffic.process import make_traffic

TRAFFIC = make_traffic(SMOKE.world.traffic, make_city(SMOKE.world.city, SMOKE.world.seed))
STEPS = 4000


def path(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return TRAFFIC.path(rng, TRAFFIC.first(rng), STEPS)


def test_congestion_has_the_planted_covariance_and_persistence() -> None:
    z = np.concatenate([path(seed) for seed in range(4)])
    np.testing.assert_allclose(z.T @ z / len(z), TRAFFIC.covariance, atol=0.12)
    lagged = (z[1:] * z[:-1]).mean() / (z**2).mean()
    np.testing.assert_allclose(lagged, TRAFFIC.persistence, atol=0.01)


def test_near_groups_are_more_alike_than_far_ones() -> None:
    off = TRAFFIC.covariance[~np.eye(GROUPS, dtype=bool)]
    assert np.diag(TRAFFIC.covariance).tolist() == [1.0] * GROUPS
    assert SMOKE.world.traffic.city_share < off.min() < off.max() < 0.81


def test_posterior_errors_have_the_posterior_variance() -> None:
    rng, z, posterior, swing = np.random.default_rng(5), path(9), prior(TRAFFIC), 0.3
    errors = []
    for k in range(STEPS):
        count = rng.poisson(2.0, GROUPS).astype(float)
        noise = TRAFFIC.config.probe_noise / np.sqrt(np.maximum(count, 1)) * rng.normal(size=GROUPS)
        posterior = follow(TRAFFIC, posterior, swing * z[k] + noise, count, swing)
        errors.append((z[k] - posterior.mean) / np.sqrt(np.diag(posterior.covariance)))
    assert abs(np.std(errors) - 1.0) < 0.03
    assert abs(np.mean(errors)) < 0.05


def test_step_without_probes_fades_towards_the_stationary_law() -> None:
    nothing, posterior = np.zeros(GROUPS), prior(TRAFFIC)
    posterior = follow(TRAFFIC, posterior, np.ones(GROUPS), np.full(GROUPS, 100.0), 0.3)
    sharp = np.trace(posterior.covariance)
    for _ in range(200):
        posterior = follow(TRAFFIC, posterior, nothing, nothing, 0.3)
    assert sharp < 0.5 * GROUPS
    np.testing.assert_allclose(posterior.covariance, TRAFFIC.covariance, atol=1e-6)
    np.testing.assert_allclose(posterior.mean, 0.0, atol=1e-6)
