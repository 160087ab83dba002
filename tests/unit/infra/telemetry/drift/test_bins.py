"""Bins on quantiles, their histograms, and the population stability index."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import CorruptArtifact
from infra.telemetry.drift.bins import FILE, Bins, psi


def test_bins_hold_equal_shares_of_a_continuous_input():
    values = np.random.default_rng(0).normal(size=10_000)
    bins = Bins.of({"x": values})
    assert len(bins.edges["x"]) == 9
    np.testing.assert_allclose(bins.shares["x"][:10], 0.1, atol=0.002)
    assert bins.shares["x"][-1] == 0


def test_an_input_with_few_values_has_a_bin_for_each_and_missing_values_have_their_own():
    bins = Bins.of({"flag": np.array([0, 1, 1, np.nan])})
    counts = bins.counts({"flag": np.array([0, 0, 1, np.nan, np.nan, np.nan]), "unknown": np.zeros(3)})
    assert {name: found.tolist() for name, found in counts.items()} == {"flag": [2, 1, 3]}


def test_an_input_without_a_finite_value_has_only_the_bin_of_missing_values():
    bins = Bins.of({"x": np.full(4, np.nan)})
    assert bins.counts({"x": np.array([np.nan, 1.0])})["x"].tolist() == [1, 1]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_every_row_is_in_one_bin(sample, rows):
    counts = Bins.of({"x": np.array(sample)}).counts({"x": np.array(rows)})["x"]
    assert counts.sum() == len(rows)


def test_psi_is_zero_for_equal_shares_grows_with_the_shift_and_is_symmetric():
    same = psi([100, 200, 300], [1000, 2000, 3000])
    little, much = psi([1000, 1000, 1000], [900, 1000, 1100]), psi([1000, 1000, 1000], [100, 1000, 1900])
    assert same < 0.001 < little < 0.1 < 0.25 < much
    assert psi([100, 1900], [1000, 1000]) == pytest.approx(psi([1000, 1000], [100, 1900]))


def test_psi_of_two_samples_of_one_distribution_is_about_its_noise():
    rng = np.random.default_rng(1)
    found = [psi(rng.multinomial(1000, np.full(10, 0.1)), rng.multinomial(300, np.full(10, 0.1))) for _ in range(300)]
    assert np.mean(found) == pytest.approx(9 * (1 / 1000 + 1 / 300), rel=0.2)


def test_bins_survive_the_file_and_a_damaged_file_says_what_to_do(tmp_path: Path):
    bins = Bins.of({"x": np.arange(100.0)})
    bins.write(tmp_path)
    assert Bins.read(tmp_path) == bins
    (tmp_path / FILE).write_text("{")
    with pytest.raises(CorruptArtifact) as found:
        Bins.read(tmp_path)
    assert "lab build" in str(found.value.hint)
