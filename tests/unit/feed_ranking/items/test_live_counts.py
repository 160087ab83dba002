"""The watcher loads the counts file that the worker writes for the services."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from feed_ranking.items.live_counts import COUNTED, FILE, LiveStats
from infra.live.live_arrays import ArraysWatcher


def counts(stats_ts: float) -> LiveStats:
    ids = np.arange(3, dtype=np.int64)
    return LiveStats(stats_ts, ids, np.ones((3, len(COUNTED)), np.float32), np.ones((2, 4), np.float32), ids[None])


def test_watcher_delivers_written_counts_once(tmp_path: Path) -> None:
    taken: list[LiveStats] = []
    watcher = ArraysWatcher(tmp_path / FILE, LiveStats.read, taken.append)
    assert not watcher.check()
    counts(5.0).write(tmp_path / FILE)
    assert watcher.check()
    assert not watcher.check()
    assert taken[0].stats_ts == 5.0
    np.testing.assert_array_equal(taken[0].post_id, [0, 1, 2])


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_damaged_file_is_logged_and_skipped_until_the_next_valid_one(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[LiveStats] = []
    watcher, path = ArraysWatcher(tmp_path / FILE, LiveStats.read, taken.append), tmp_path / FILE
    counts(5.0).write(path)
    whole = path.read_bytes()
    aside = tmp_path / "aside"
    if damage == "other":
        with aside.open("wb") as out:
            np.savez(out, something=np.ones(3))
    else:
        aside.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    aside.replace(path)
    with caplog.at_level(logging.WARNING):
        assert not watcher.check()
    assert "the last ones stay" in caplog.text
    assert taken == []
    counts(6.0).write(path)
    assert watcher.check()
    assert taken[0].stats_ts == 6.0
