"""Departures: now, with an offset, on local clocks, and the hours in which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.online.api.departure import PAST_S, departure_ts
from infra.errors import UsageError

BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


NOW = at("2026-03-28T12:00:00+00:00")
"""the day before the clocks are put forward"""


def test_departure_is_now_if_the_request_has_none() -> None:
    assert departure_ts(None, NOW, BERLIN, 48) == NOW


@given(st.integers(0, 48 * 60), st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]))
def test_local_time_and_time_with_an_offset_are_the_same_moment(minutes: int, zone: str) -> None:
    local = datetime.fromtimestamp(NOW, UTC).astimezone(ZoneInfo(zone)) + timedelta(minutes=minutes)
    moment = local.astimezone(UTC).astimezone(ZoneInfo(zone))  # the same clock time, if it exists
    if moment.replace(tzinfo=None) != local.replace(tzinfo=None):
        return
    expected = moment.timestamp()
    assert departure_ts(moment.isoformat(), NOW, zone, 72) == expected
    assert departure_ts(moment.replace(tzinfo=None).isoformat(), NOW, zone, 72) == expected


def test_local_hour_that_the_clocks_skip_is_refused_with_the_hour_after_it() -> None:
    with pytest.raises(UsageError, match="does not exist") as refused:
        departure_ts("2026-03-29T02:30", NOW, BERLIN, 48)
    assert refused.value.hint == "ask for 2026-03-29T03:30:00"
    assert departure_ts("2026-03-29T03:30", NOW, BERLIN, 48) == at("2026-03-29T01:30:00+00:00")


def test_local_hour_that_comes_twice_is_refused_with_both_moments() -> None:
    with pytest.raises(UsageError, match="exists twice") as refused:
        departure_ts("2026-10-25T02:30", at("2026-10-24T12:00:00+00:00"), BERLIN, 48)
    assert refused.value.hint == "ask for 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"


@pytest.mark.parametrize("text", ["soon", "", "25:00", "2026-13-01T00:00", "2026-02-30T08:00", "99999-01-01"])
def test_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        departure_ts(text, NOW, BERLIN, 48)


def test_past_departure_is_refused_but_a_recent_one_is_now() -> None:
    def ago(seconds: float) -> str:
        return datetime.fromtimestamp(NOW - seconds, UTC).isoformat()

    assert departure_ts(ago(PAST_S - 1), NOW, BERLIN, 48) == NOW
    with pytest.raises(UsageError, match="has passed"):
        departure_ts(ago(PAST_S + 1), NOW, BERLIN, 48)


def test_departure_beyond_the_horizon_is_refused() -> None:
    within, beyond = (datetime.fromtimestamp(NOW + 3600 * hours, UTC).isoformat() for hours in (47.9, 48.1))
    assert departure_ts(within, NOW, BERLIN, 48) == pytest.approx(NOW + 3600 * 47.9)
    with pytest.raises(UsageError, match="too far ahead"):
        departure_ts(beyond, NOW, BERLIN, 48)
