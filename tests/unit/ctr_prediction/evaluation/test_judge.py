"""Scores of ads responses have the right direction: predictions are best if they equal the truth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ctr_prediction.evaluation.judge import CtrTrial, Worth

PAGES: Any = [SimpleNamespace(slots=2)] * 3
PLAYS: Any = [SimpleNamespace(answer=SimpleNamespace(ads=np.arange(2)))] * 3


def test_calibrated_predictions_are_best() -> None:
    def predicting(ratio: float) -> float:
        clicks = np.array([0.1, 0.2, 0.3])
        worth = Worth(value=np.ones(3), revenue=np.ones(3), clicks=clicks, predicted=ratio * clicks)
        judge: Any = SimpleNamespace(worth=lambda *_: worth)
        scores = CtrTrial(judge, PAGES, 2 * np.ones(3), np.zeros(3), worth).scores(PLAYS)
        return next(score.merit for score in scores if score.id == "predicted_over_true")

    assert predicting(1.0) > predicting(5.5)
    assert predicting(1.0) > predicting(0.5)
    assert predicting(1.1) > predicting(0.8)
