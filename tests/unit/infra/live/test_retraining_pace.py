"""A retraining without a person waits for the cooldown, and for the next day after too many."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.evaluation.drift_config import DriftConfig
from infra.live.retraining_pace import must_wait
from infra.telemetry.timeline import Entry

NOW = 1_000_000.0
CONFIG = DriftConfig(retrain_cooldown_s=600.0, retrain_per_day=3)


def entries(*ages_s: float, kind: str = "retraining") -> list[Entry]:
    return [Entry(datetime.fromtimestamp(NOW - age, UTC).isoformat(), kind, "text") for age in ages_s]


@pytest.mark.parametrize(
    ("ages_s", "expected"),
    [
        ((), ""),
        ((599.0,), "the last retraining began 599 s ago"),
        ((601.0,), ""),
        ((80_000.0, 50_000.0, 601.0), "3 retrainings began in the last 24 h"),
        ((86_401.0, 50_000.0, 601.0), ""),
    ],
)
def test_cooldown_and_daily_limit(ages_s: tuple[float, ...], expected: str) -> None:
    assert must_wait(entries(*ages_s), CONFIG, NOW) == expected


def test_other_events_and_damaged_times_do_not_count() -> None:
    found = [*entries(1.0, kind="build"), Entry("yesterday", "retraining", "text")]
    assert must_wait(found, CONFIG, NOW) == ""


def test_a_limit_of_zero_switches_retraining_off() -> None:
    assert must_wait([], DriftConfig(retrain_per_day=0), NOW) == "retraining is switched off"
