"""The departure time of a request: now, or a time on the city's clocks.

A time with an offset is taken as it is. A time without one is on local clocks, where one hour a year does not exist and
one exists twice. Both are refused with the times that the caller may have meant.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from infra.errors import UsageError

PAST_S = 120.0
"""a departure this long ago counts as now: clocks of callers differ, and requests travel"""


def departure_ts(text: str | None, now_ts: float, time_zone: str, farthest_h: float) -> float:
    """Seconds since the epoch of the departure `text`, ISO 8601; None is now.

    Raises `UsageError` for a text that is no time, a local time that does not exist or exists twice, a past time, and a
    time more than `farthest_h` hours ahead.
    """
    if text is None:
        return now_ts
    at_ts = _parsed(text, time_zone)
    local = datetime.fromtimestamp(now_ts, ZoneInfo(time_zone)).isoformat(timespec="seconds")
    if at_ts < now_ts - PAST_S:
        raise UsageError(f"the departure {text} has passed: it is {local} in the city", hint="leave it out for now")
    if at_ts > now_ts + farthest_h * 3600:
        raise UsageError(
            f"the departure {text} is too far ahead: it is {local} in the city",
            hint=f"ask for a departure within {farthest_h:g} hours",
        )
    return max(at_ts, now_ts)


def _parsed(text: str, time_zone: str) -> float:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.timestamp()
        return _local_ts(found, text, ZoneInfo(time_zone))
    except (ValueError, OverflowError) as exc:
        raise UsageError(
            f"the departure {text!r} is no time", hint="write it as 2026-02-02T08:30, or with an offset: …T08:30+01:00"
        ) from exc


def _local_ts(local: datetime, text: str, zone: ZoneInfo) -> float:
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first.timestamp()
    back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if back != local:
        ahead = abs((second.utcoffset() or timedelta()) - (first.utcoffset() or timedelta()))
        raise UsageError(
            f"the departure {text} does not exist in {zone.key}: the clocks are put forward at that time",
            hint=f"ask for {(local + ahead).isoformat()}",
        )
    choices = " or ".join(found.isoformat() for found in (first, second))
    raise UsageError(f"the departure {text} exists twice in {zone.key}", hint=f"ask for {choices}")
