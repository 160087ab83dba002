"""Live trips teach the models; days with few of them calibrate nothing and choose no family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.model.inputs import column
from eta_prediction.offline import train
from eta_prediction.offline.samples import Sample
from eta_prediction.offline.train import task_of, whole_days
from tests.support.eta_planted import PER_DAY, planted

DAYS = SMOKE.world.days
CONFIG = replace(SMOKE, model=replace(SMOKE.model, calibration_days=2))


def sample_with_live(live_day: int, trips: int, live_factor: float = 1.0, hours: int = 24) -> Sample:
    """Eight days of the history with trips at all hours, and `trips` trips in the first `hours` hours of a live day.
    These take `live_factor` times as long."""
    x, seconds, day = planted(DAYS + 1)
    departure_ts = 3600.0 * (np.arange(len(x)) % 24)
    departure_ts[DAYS * PER_DAY :] %= 3600.0 * hours
    n = DAYS * PER_DAY + trips
    day[DAYS * PER_DAY :] = live_day
    seconds[DAYS * PER_DAY :] *= live_factor
    empty: dict[str, Any] = dict.fromkeys(Sample.__annotations__, np.zeros(len(x)))
    routes = {"base_s": column(x, "live_s"), "static_s": column(x, "profile_s")}
    return Sample(**(empty | routes | {"x": x, "seconds": seconds, "day": day, "departure_ts": departure_ts})).take(
        np.arange(n)
    )


@pytest.mark.parametrize(
    ("trips", "hours", "late"),
    [(0, 24, {6, 7}), (30, 24, {6, 7}), (280, 24, {6, 7}), (320, 24, {12}), (400, 24, {12}), (400, 12, {6, 7})],
)
def test_the_last_days_are_whole(trips: int, hours: int, late: set[int]) -> None:
    """A day has 400 trips. 400 trips of half a day are no day."""
    sample = sample_with_live(12, trips, hours=hours)
    task = task_of(CONFIG, sample, "live")[0]
    assert set(task.day[task.is_late].tolist()) == late
    assert len(task.ratio) == len(sample), "all trips teach"
    np.testing.assert_array_equal(task.is_whole, whole_days(CONFIG, sample.day, sample.departure_ts))
    assert not (task.is_late & ~task.is_whole).any()


def test_one_day_of_history_lends_its_last_trips_although_a_few_are_live() -> None:
    sample = sample_with_live(12, 30)
    some = sample.take(sample.day >= DAYS - 1)
    task = task_of(CONFIG, some, "live")[0]
    assert np.flatnonzero(task.is_late).tolist() == list(range(int(0.8 * PER_DAY), PER_DAY))


def test_the_corrected_route_learns_from_live_trips() -> None:
    one, other = (task_of(CONFIG, sample_with_live(12, 150, factor), "live")[0] for factor in (1.0, 3.0))
    assert np.median(other.base_s / one.base_s) > 1.0


def test_a_live_trip_occurs_as_often_as_the_knob_says_and_its_day_is_no_more_whole() -> None:
    sample = sample_with_live(12, 150)
    heavy = replace(CONFIG, sample=replace(CONFIG.sample, live_weight=3.0))
    once, thrice = (task_of(config, sample, "live")[0] for config in (CONFIG, heavy))
    is_live = once.day == 12
    np.testing.assert_array_equal(once.x, sample.x)
    np.testing.assert_array_equal(thrice.x, np.concatenate([sample.x[~is_live], np.repeat(sample.x[is_live], 3, 0)]))
    assert set(thrice.day[thrice.is_late].tolist()) == set(once.day[once.is_late].tolist()) == {6, 7}


def test_few_live_trips_move_no_calibration_of_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Live trips that take nine times as long as predicted count as soon as their day is whole."""
    found = {}
    monkeypatch.setattr(train, "mean_of", lambda members: None)
    monkeypatch.setattr(train, "export", lambda *_: None)
    for trips in (0, 30, 350):
        task = task_of(CONFIG, sample_with_live(12, trips), "live")[0]
        ratio = np.where(task.day == 12, 9.0, 1.0 + 0.2 * np.sin(np.arange(len(task.day))))
        unseen = np.repeat(np.array([[0.8, 1.0, 1.2]], np.float32), len(ratio), axis=0)
        monkeypatch.setattr(train, "out_of_fold", lambda *_, unseen=unseen: unseen)
        found[trips] = train.train_network(CONFIG, replace(task, ratio=ratio), tmp_path, lambda *_: None).offsets
    assert found[30] == found[0]
    assert found[350]["last_4"] != found[0]["last_4"]
