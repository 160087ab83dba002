"""What was planted is found again: the model recovers the truth that caused the log."""

from __future__ import annotations

import json

import numpy as np
import pytest

from feed_ranking.bundle import Bundle, load_bundle
from feed_ranking.config import PRESETS
from feed_ranking.design import DESIGN
from feed_ranking.features import open_store
from feed_ranking.offline.evaluate import GateRefused, Holdout, check_gate, predict, read_holdout
from feed_ranking.world.oracle import Oracle, make_world
from feed_ranking.world.reactions import examination
from infra.figures import Figure, read_figures
from infra.pipeline.outputs import step_paths
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.release import Release
from infra.settings import Settings


@pytest.fixture(scope="module")
def bundle(release: Release) -> Bundle:
    from pathlib import Path

    return load_bundle(Path(release.model_path), release.model_digest)


@pytest.fixture(scope="module")
def measured(settings: Settings) -> dict[str, Figure]:
    return {figure.id: figure for figure in read_figures(step_paths(DESIGN, settings)[DESIGN.evaluate])}


@pytest.fixture(scope="module")
def holdout(settings: Settings, bundle: Bundle) -> Holdout:
    paths = step_paths(DESIGN, settings)
    oracle = Oracle(make_world(PRESETS["smoke"].world))
    return read_holdout(paths["world"], open_store(paths["materialize"]), oracle, bundle)


def test_training_recovers_the_examination_of_each_position(bundle: Bundle) -> None:
    """Although the log was made by a policy that puts what it likes on top."""
    learned = np.array(bundle.meta["examination"])
    planted = examination(PRESETS["smoke"].world, np.arange(len(learned)))
    assert learned[0] == 1.0
    assert np.abs(learned - planted).mean() < 0.12
    naive = 1 / np.arange(1, len(learned) + 1)
    assert np.abs(learned - planted).mean() < np.abs(naive - planted).mean()


def test_the_ranker_captures_more_value_than_popularity_with_intervals_apart(measured: dict[str, Figure]) -> None:
    assert measured["captured_value"].low > measured["captured_value_popularity"].high
    assert measured["captured_value"].high < 1.0


def test_no_model_beats_the_truth(measured: dict[str, Figure]) -> None:
    assert measured["auc"].value <= measured["auc_oracle"].high
    assert measured["excess_log_loss"].value > 0


def test_predictions_are_calibrated_on_the_randomised_bucket(measured: dict[str, Figure]) -> None:
    assert 0.7 < measured["calibration"].value < 1.4


def test_the_gate_refuses_a_model_that_knows_nothing(holdout: Holdout, settings: Settings, bundle: Bundle) -> None:
    shuffled = np.random.default_rng(0).permutation(predict(bundle, holdout))
    registry = MlflowRegistry(settings)
    with pytest.raises(GateRefused, match="not better than one click rate"):
        check_gate(holdout, shuffled, None, registry, settings.design_root(DESIGN.name) / "models")


def test_the_gate_refuses_a_model_that_is_worse_than_the_champion(
    holdout: Holdout, settings: Settings, bundle: Bundle, release: Release
) -> None:
    registry = MlflowRegistry(settings)
    champion = registry.by_alias(release.model_name, "champion")
    assert champion is not None
    good = predict(bundle, holdout)
    models = settings.design_root(DESIGN.name) / "models"
    assert "not worse" in check_gate(holdout, good, champion, registry, models)
    blurred = 0.2 * good + 0.8 * good.mean()  # still better than nothing, clearly worse than the champion
    with pytest.raises(GateRefused, match="worse than champion"):
        check_gate(holdout, blurred, champion, registry, models)


def test_the_release_serves_the_champion_that_was_evaluated(settings: Settings, release: Release) -> None:
    registered = json.loads((step_paths(DESIGN, settings)["train"] / "registered.json").read_text())
    assert (release.model_name, release.model_version) == (registered["name"], registered["version"])
    assert release.model_digest == registered["digest"]
