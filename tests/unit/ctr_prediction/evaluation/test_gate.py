"""On fresh rows, the gate compares predictions with the clicks that were reported in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from ctr_prediction.domain import AdFeatures, Array, Context, UserFeatures
from ctr_prediction.evaluation import gate
from ctr_prediction.evaluation.gate import comparison_on, fresh_rows
from ctr_prediction.model.artifact import Bundle
from ctr_prediction.offline.samples import FRESH, FRESH_LABELS, Sample
from infra.evaluation.gate import GateRefused, check_gate
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from tests.unit.infra.evaluation.test_gate import Anywhere

ROWS, REPORTED = 20_000, 0.7
CHAMPION = ModelVersion("ads", 3, "champion", {})


def sample_of(clicked: Array) -> Sample:
    """Impressions, each on a page of its own. The stand-in for a model reads the number of an impression alone."""
    numbers, nothing = np.arange(len(clicked)), np.zeros(0)
    users = UserFeatures(*(nothing for _ in UserFeatures.__annotations__))
    ads, context = AdFeatures(*(nothing for _ in AdFeatures.__annotations__)), Context(nothing, nothing, nothing)
    return Sample(
        users, ads, context,
        impression_id=numbers, request_id=numbers, user_id=numbers, ad_id=numbers, slot=numbers, seen=numbers,
        clicked=clicked.astype(np.float32), weight=np.ones(len(clicked), np.float32),
    )  # fmt: skip


def test_late_clicks_do_not_make_the_lower_prediction_the_better_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The challenger predicts the clicks of all time. The champion predicts a fifth too few, which is nearer to the
    clicks that were reported in time."""
    rng = np.random.default_rng(0)
    true = np.where(rng.random(ROWS) < 0.5, 0.1, 0.4)
    clicked = rng.random(ROWS) < true
    in_time = clicked & (rng.random(ROWS) < REPORTED)
    sample_of(in_time).write(tmp_path / FRESH)
    models: dict[str, Callable[[], Array]] = {"challenger": lambda: true, "champion": lambda: 0.8 * true}
    monkeypatch.setattr(gate, "load_bundle", lambda path, digest: digest)
    monkeypatch.setattr(gate, "student_p", lambda bundle, sample: models[bundle]())
    history = comparison_on(sample_of(clicked.astype(np.float64)))
    registry = cast(MlflowRegistry, Anywhere())

    def verdict(reported: float) -> str:
        (tmp_path / FRESH_LABELS).write_text(json.dumps({"reported_share": reported}))
        fresh = fresh_rows(tmp_path, cast(Bundle, "challenger"))
        return check_gate(history, true, CHAMPION, registry, tmp_path, fresh)

    assert "better than champion 3 on 20,000 fresh rows of the randomised bucket" in verdict(REPORTED)
    with pytest.raises(GateRefused, match="worse than champion 3 on 20,000 fresh rows"):
        verdict(1.0)
    assert fresh_rows(tmp_path / "none", cast(Bundle, "challenger")) is None
