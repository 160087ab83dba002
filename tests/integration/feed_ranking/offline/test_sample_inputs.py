"""Training computes the inputs of its sample part by part; the size of a part changes no number."""

from __future__ import annotations

import numpy as np
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.design import DESIGN
from feed_ranking.model.inputs import ranker_names
from feed_ranking.offline import train
from feed_ranking.offline.samples import Sample
from infra.build.fingerprints import step_paths
from infra.settings import Settings


class FirstColumns:
    """Stands for the towers. It computes each row by itself, so that equal rows give equal numbers."""

    def embed_users(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x)[:, :6]

    def embed_posts(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x)[:, :6] / 3


def test_inputs_of_a_sample_do_not_depend_on_the_size_of_a_part(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample.read(step_paths(DESIGN, settings)["sample"] / "train.npz")
    priors = train.priors_of(sample, SMOKE.world.topics)
    monkeypatch.setattr(train, "PART_ROWS", len(sample))
    whole = train.sample_inputs(sample, FirstColumns(), priors)  # type: ignore[arg-type]
    monkeypatch.setattr(train, "PART_ROWS", 7_001)
    parts = train.sample_inputs(sample, FirstColumns(), priors)  # type: ignore[arg-type]
    assert whole.shape == (len(sample), len(ranker_names(SMOKE.world.topics)))
    assert np.unique(whole[:, :40]).size > 1_000
    np.testing.assert_array_equal(parts, whole)
