"""The knowable gap compares the student with the best model that the log permits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_prediction.config import SMOKE
from ctr_prediction.evaluation import knowable
from ctr_prediction.evaluation.holdout import Resample
from ctr_prediction.evaluation.knowable import knowable_figures, knowable_gap
from infra.evaluation.figures import Figure
from infra.training.click_metrics import Array, excess_log_loss_rows

REQUESTS, ROWS = 500, 2_000
RNG = np.random.default_rng(0)
TRUTH: Array = 1 / (1 + np.exp(-RNG.normal(-3.0, 1.0, ROWS)))
BEST: Array = TRUTH * np.exp(RNG.normal(0.0, 0.3, ROWS))
"""predictions of the best possible model"""
WORSE: Array = BEST * np.exp(RNG.normal(0.0, 0.3, ROWS))
RATE: Array = np.full_like(TRUTH, TRUTH.mean())


def gap(p: Array) -> dict[str, Figure]:
    resample = Resample.of(np.repeat(np.arange(REQUESTS), ROWS // REQUESTS))
    figures = knowable_gap(TRUTH, p, excess_log_loss_rows(TRUTH, BEST), resample)
    return {figure.id: figure for figure in figures}


def test_best_model_closes_the_whole_gap_and_a_constant_rate_none() -> None:
    best, rate = gap(BEST)["knowable_gap_closed"], gap(RATE)["knowable_gap_closed"]
    assert (best.value, best.low, best.high) == pytest.approx((1.0, 1.0, 1.0))
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.0, 0.0, 0.0))
    assert best.met is True
    assert rate.met is False


def test_gap_closed_is_the_gain_of_the_model_over_the_gain_of_the_best_model() -> None:
    lost, left = (excess_log_loss_rows(TRUTH, p).sum() for p in (BEST, WORSE))
    constant = excess_log_loss_rows(TRUTH, RATE).sum()
    found = gap(WORSE)
    assert found["knowable_gap"].value == pytest.approx(1 - lost / constant)
    assert found["knowable_gap_closed"].value == pytest.approx((1 - left / constant) / (1 - lost / constant))
    assert 0 < found["knowable_gap_closed"].value < 1


def test_knowable_figures_have_an_interval_around_their_value() -> None:
    for figure in gap(WORSE).values():
        assert figure.low < figure.value < figure.high
    closed = gap(WORSE)["knowable_gap_closed"]
    assert (closed.must, closed.aim) == (">= 0.88", ">= 0.95")


def test_knowable_figures_are_skipped_for_a_long_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in ("2026-01-05", "2026-01-06"):
        directory = tmp_path / "log" / f"date={day}"
        directory.mkdir(parents=True)
        pq.write_table(pa.table({"user_id": [1, 2, 3]}), directory / "part-0.parquet")
    monkeypatch.setattr(knowable, "MOST_IMPRESSIONS", 2)
    messages: list[str] = []
    assert knowable_figures(SMOKE, {"world": tmp_path}, lambda share, text: messages.append(text)) == []
    assert messages == ["skipping the ceiling: a history of 3 impressions needs too much memory"]
