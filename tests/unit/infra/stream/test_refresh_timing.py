"""The refresher decides when a refresh is due, and offsets resume after the last applied event."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infra.errors import FeatureStoreUnavailable
from infra.live.clock import WorldClock
from infra.registry.release import Release
from infra.stream.consumer import Received
from infra.stream.kafka_client import PARTITIONS
from infra.stream.refresh_timing import BEHIND_S, IDLE_S, LOOK_S, REFRESH_S, SETTLE_S, AppliedOffsets, Refresher

WORLD_S = 1_000_000.5


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that tests move."""
    at = [5_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    return at


@pytest.fixture
def timing(now: list[float], tmp_path: Path) -> Refresher:
    return Refresher(tmp_path, WorldClock(WORLD_S))


def received(age_s: float = 0.0, offset: int = 0) -> Received:
    return Received(None, "topic", 1, offset, time.time() - age_s)


def test_refresh_is_due_once_per_settled_whole_second(timing: Refresher, now: list[float]) -> None:
    due = timing.due_ts(has_new=True)
    assert due == float(int(WORLD_S - SETTLE_S))
    with timing.refreshing(due):
        pass
    now[0] += REFRESH_S / 2
    assert timing.due_ts(has_new=True) is None, "too soon"
    now[0] += REFRESH_S
    assert timing.due_ts(has_new=True) is None, "the same second"
    now[0] += 1.0
    assert timing.due_ts(has_new=True) == due + 1


def test_refresh_is_due_once_a_minute_without_new_events(timing: Refresher, now: list[float]) -> None:
    due = timing.due_ts(has_new=False)
    assert due is not None
    with timing.refreshing(due):
        pass
    now[0] += IDLE_S - 1
    assert timing.due_ts(has_new=False) is None
    now[0] += 2
    assert timing.due_ts(has_new=False) is not None


def test_refresh_waits_for_a_worker_backlog_up_to_a_limit(timing: Refresher, now: list[float]) -> None:
    timing.take([received(age_s=SETTLE_S + 5)])
    assert timing.due_ts(has_new=True) is None
    now[0] += 1.0
    assert timing.due_ts(has_new=True) is not None, "the last tick read nothing: the backlog is read"
    now[0] += 1.0
    timing.resume()
    for _ in range(int(BEHIND_S)):
        timing.take([received(age_s=SETTLE_S + 5)])
        assert timing.due_ts(has_new=True) is None
        now[0] += 1.0
    timing.take([received(age_s=SETTLE_S + 5)])
    assert timing.due_ts(has_new=True) is not None


def test_refresh_waits_for_the_events_that_arrived_while_a_release_was_loaded(
    timing: Refresher, now: list[float]
) -> None:
    release = Release(**dict.fromkeys(Release.__annotations__, "") | {"world_now": WORLD_S - 60})
    timing.begin(release)
    assert timing.due_ts(has_new=True) is None, "nothing was read since the release was loaded"
    timing.take([received(age_s=SETTLE_S + 2)])
    now[0] += 1.0
    assert timing.due_ts(has_new=True) is None
    now[0] += 1.0
    assert timing.due_ts(has_new=True) is not None, "the last tick read nothing: the backlog is read"


def test_failed_refresh_is_retried_after_a_delay(timing: Refresher, now: list[float]) -> None:
    due = timing.due_ts(has_new=True)
    assert due is not None
    with timing.refreshing(due):
        raise FeatureStoreUnavailable("gone")
    assert timing.counted_ts == 0.0
    now[0] += LOOK_S
    assert timing.due_ts(has_new=True) is None
    now[0] += 2 * REFRESH_S
    assert timing.due_ts(has_new=True) is not None


def test_bug_in_a_refresh_passes_through(timing: Refresher) -> None:
    with pytest.raises(KeyError), timing.refreshing(1.0):
        raise KeyError("a bug")
    assert timing.counted_ts == 0.0


def test_offsets_start_at_zero_follow_applied_events_and_reset_with_the_epoch(tmp_path: Path) -> None:
    offsets = AppliedOffsets()
    offsets.start("first", tmp_path, {"topic": "log"})
    at = offsets.resume("first", is_first=True)
    assert at == {("topic", number): 0 for number in range(PARTITIONS)}
    offsets.take([received(offset=7)])
    assert offsets.resume("first", is_first=False)["topic", 1] == 8
    assert offsets.resume("second", is_first=False) == {}
