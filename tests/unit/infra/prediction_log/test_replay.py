"""Replay counts every logged prediction once and names every field that differs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.columns import timestamps
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.replay import difference, differing_fields, replay_log
from infra.prediction_log.results import Since
from infra.prediction_log.versions import Bundles
from infra.registry.release import Release
from infra.settings import Settings


@dataclass(frozen=True)
class Doubled:
    """A prediction of a model that multiplies by its factor."""

    event_id: str
    model_version: str
    model_digest: str
    x: float
    y: float


LOGGED = (
    Doubled("a", "twice/1", "d", 2.0, 4.0),
    Doubled("b", "twice/1", "d", 3.0, 7.0),
    Doubled("c", "twice/1", "d", -1.0, 0.0),
    Doubled("d", "twice/1", "d", 5.0, 10.0),
)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog[Doubled]:
    place = tmp_path / "predictions" / "date=2026-01-05" / "hour=00"
    place.mkdir(parents=True)
    events = [json.dumps(vars(one)) for one in LOGGED]
    times = timestamps(np.arange(len(LOGGED), dtype=np.float64))
    pq.write_table(pa.table({"event": events, "request_ts": times}), place / "part-0.parquet")
    return PredictionLog(tmp_path / "predictions", Doubled, Since(), 100)


def bundles(tmp_path: Path) -> Bundles[float]:
    release = Release("tiny", "twice", 1, "d", str(tmp_path), "", "", 0.0)
    return Bundles(Settings(home=tmp_path), release, lambda path, digest: 2.0)


def test_replay_counts_checked_differing_and_skipped_predictions(log: PredictionLog[Doubled], tmp_path: Path) -> None:
    shares: list[float] = []
    found = replay_log(
        log,
        bundles(tmp_path),
        lambda one: "x is negative" if one.x < 0 else "",
        lambda one, factor: differing_fields({"y": np.array([one.y])}, {"y": np.array([factor * one.x])}),
        lambda share, text: shares.append(share),
    )
    assert (found.rows, found.checked, found.differing) == (4, 3, 1)
    assert [(one.prediction, one.field, one.how) for one in found.differences] == [
        ("b", "y", "1 of 1 values differ, by at most 1")
    ]
    assert found.left_out == {"x is negative": 1}
    assert found.models == {"twice/1": 3}
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_difference_describes_other_lengths_and_values() -> None:
    one = np.array([1.0, 2.0], np.float32)
    assert difference(one, one.copy()) == ""
    assert difference(one, one[:1]) == "2 values were logged, the replay has 1"
    assert difference(one, one + np.array([0, 0.5], np.float32)) == "1 of 2 values differ, by at most 0.5"
