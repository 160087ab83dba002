"""Hours of the week on local clocks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.domain import hour_of_week

ZONES = ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]


@given(st.lists(st.floats(1.5e9, 2e9), min_size=1, max_size=20), st.sampled_from(ZONES))
def test_hour_of_week_is_that_of_the_local_clock(at_ts: list[float], zone: str) -> None:
    for found, at in zip(hour_of_week(np.array(at_ts), zone), at_ts, strict=True):
        local = datetime.fromtimestamp(at, ZoneInfo(zone))
        second = local.minute * 60 + local.second + local.microsecond / 1e6
        expected = local.weekday() * 24 + local.hour + second / 3600
        assert abs((found - expected + 84) % 168 - 84) < 1e-4


@pytest.mark.parametrize(
    ("before", "hours"),
    [("2026-03-29T00:59:59+00:00", 1.0), ("2026-10-25T00:59:59+00:00", -1.0)],
)
def test_local_hour_jumps_when_the_clocks_change(before: str, hours: float) -> None:
    at_ts = datetime.fromisoformat(before).timestamp()
    one, other = hour_of_week(np.array([at_ts, at_ts + 2]), "Europe/Berlin")
    assert other - one == pytest.approx(hours, abs=0.01)
