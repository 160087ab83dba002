"""Windows as sums, and the noise of a ratio whose rows are correlated."""

import numpy as np
import pytest

from infra.telemetry.drift.windows import ALL, BLOCK, Sums, together, window_of
from tests.support.drift_source import PER_REQUEST, SEGMENTS, FakeSource, log_of


def window(seed: int, requests: int = 200):
    source = FakeSource()
    predictions, labels = log_of(np.random.default_rng(seed), 0, requests, 0.0, np.full(SEGMENTS, 0.08))
    observed = source.observe({"predictions": predictions})
    units = observed.units
    units.actual[:] = labels["clicked"].to_numpy()
    return window_of(source, observed, units, 3, 1000.0, 0)


def test_a_window_counts_predictions_units_and_labels_by_segment():
    found = window(0)
    assert (found.number, found.predictions, found.mature, found.labelled) == (3, 200, 2000, 2000)
    assert found.calibration[ALL].below == pytest.approx(2000 * 0.08)
    assert sum(found.calibration[f"s{number}"].above for number in range(SEGMENTS)) == found.calibration[ALL].above
    assert sum(found.counts["x"]) == 200
    assert len(found.errors) == 200 // BLOCK
    assert np.mean(found.errors) * PER_REQUEST * BLOCK == pytest.approx(found.loss[ALL].above / (200 / BLOCK))


def test_the_error_of_a_ratio_counts_a_request_as_one_observation():
    ratios = [window(seed).calibration[ALL] for seed in range(200)]
    spread = np.std([one.ratio for one in ratios])
    assert np.mean([one.error for one in ratios]) == pytest.approx(spread, rel=0.15)


def test_sums_of_two_parts_add_up_to_the_sums_of_all():
    rng = np.random.default_rng(2)
    above, below, group = rng.random(50), rng.random(50) + 0.5, np.repeat(np.arange(10), 5)
    whole, parts = Sums.of(above, below, group), Sums.of(above[:25], below[:25], group[:25])
    parts = parts + Sums.of(above[25:], below[25:], group[25:])
    assert vars(parts) == pytest.approx(vars(whole))


def test_windows_together_have_the_counts_of_both():
    one, other = window(0), window(1)
    counts, calibration, loss = together([one, other])
    assert counts["x"] == [a + b for a, b in zip(one.counts["x"], other.counts["x"], strict=True)]
    assert calibration["s1"] == one.calibration["s1"] + other.calibration["s1"]
    assert loss[ALL].groups == 400


def test_without_a_label_there_is_no_ratio():
    assert np.isnan(Sums().ratio)
    assert Sums().error == float("inf")
