"""The model recovers the planted parameters behind the log, and the gate refuses worse models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from feed_ranking.config import PRESETS
from feed_ranking.design import DESIGN
from feed_ranking.evaluation.gate import comparison_on, truth_of
from feed_ranking.evaluation.holdout import holdout_inputs, predict
from feed_ranking.model.artifact import Bundle, load_bundle
from feed_ranking.offline.samples import Sample
from feed_ranking.world.examination import examination
from infra.build.fingerprints import step_paths
from infra.evaluation.figures import Figure, read_figures
from infra.evaluation.gate import GateRefused, check_gate
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
def holdout(settings: Settings) -> Sample:
    return Sample.read(step_paths(DESIGN, settings)["sample"] / "holdout.npz")


def test_training_recovers_the_examination_probability_of_each_position(bundle: Bundle) -> None:
    """The logging policy ranks better posts higher, so raw click rates mix position and relevance."""
    learned = np.array(bundle.meta["examination"]["heavy"])
    planted = examination(PRESETS["smoke"].world, np.arange(len(learned)))
    assert learned[0] == 1.0
    assert np.abs(learned - planted).mean() < 0.12
    naive = 1 / np.arange(1, len(learned) + 1)
    assert np.abs(learned - planted).mean() < np.abs(naive - planted).mean()


def test_model_does_not_beat_the_oracle(measured: dict[str, Figure]) -> None:
    assert measured["auc"].value <= measured["auc_oracle"].high
    assert measured["excess_log_loss"].value > 0


def test_heads_are_calibrated_on_the_randomised_bucket(measured: dict[str, Figure]) -> None:
    for head in ("click", "like", "comment", "dwell"):
        assert 0.6 < measured[f"calibration_{head}"].value < 1.6, head


def test_ranker_predicts_more_clicks_and_shorter_dwell_for_clickbait(holdout: Sample, bundle: Bundle) -> None:
    """Clickbait raises clicks and shortens dwell, so predicted dwell falls with the bait signal."""
    x = holdout_inputs(bundle, holdout)
    seen = x[:, bundle.meta["ranker_inputs"].index("post_bait_signal")]
    heads = bundle.heavy(x)
    assert np.corrcoef(seen, heads[:, 0])[0, 1] > 0.05
    assert np.corrcoef(seen, np.log(heads[:, 3]))[0, 1] < -0.3
    truth = truth_of(PRESETS["smoke"], holdout)
    assert np.corrcoef(np.log(heads[:, 3]), np.log(truth.dwell_s))[0, 1] > 0.5


def test_gate_refuses_an_uninformative_model(holdout: Sample, settings: Settings, bundle: Bundle) -> None:
    good = predict(bundle, holdout, "heavy")
    shuffled = np.random.default_rng(0).permutation(good.p_click_shown)
    registry = MlflowRegistry(settings)
    with pytest.raises(GateRefused, match="not better than a constant click rate"):
        check_gate(comparison_on(holdout), shuffled, None, registry, settings.design_root(DESIGN.name) / "models")


def test_gate_refuses_a_model_that_is_worse_than_the_champion(
    holdout: Sample, settings: Settings, bundle: Bundle, release: Release
) -> None:
    registry = MlflowRegistry(settings)
    champion = registry.by_alias(release.model_name, "champion")
    assert champion is not None
    good = predict(bundle, holdout, "heavy")
    models = settings.design_root(DESIGN.name) / "models"
    assert "not worse" in check_gate(comparison_on(holdout), good.p_click_shown, champion, registry, models)
    p = good.p_click_shown
    blurred = 0.2 * p + 0.8 * p.mean()  # better than a constant click rate, clearly worse than the champion
    with pytest.raises(GateRefused, match="worse than champion"):
        check_gate(comparison_on(holdout), blurred, champion, registry, models)


def test_release_serves_the_registered_model(settings: Settings, release: Release) -> None:
    registered = json.loads((step_paths(DESIGN, settings)["train"] / "registered.json").read_text())
    assert (release.model_name, release.model_version) == (registered["name"], registered["version"])
    assert release.model_digest == registered["digest"]
