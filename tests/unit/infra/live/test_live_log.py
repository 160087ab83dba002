"""The cut of a live log names the complete files of the folders used for training."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.live.live_log import LiveLog, cut_of, files_of_cut, live_root
from infra.settings import Settings

LOG = LiveLog(
    "tiny", {"shown": "seen_ts", "predictions": "request_ts"}, trained=("shown",), labels=("shown", "seen_ts")
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def put(root: Path, file: str, content: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(content)


def test_cut_of_a_missing_log_is_empty(settings: Settings) -> None:
    assert cut_of(LOG, settings) == ""
    assert files_of_cut("") == []


def test_cut_lists_size_and_path_of_complete_files_in_order(settings: Settings) -> None:
    root = live_root(LOG, settings)
    put(root, "shown/date=2026-01-06/hour=00/part-0.parquet", "xx")
    put(root, "shown/date=2026-01-05/hour=23/part-0.parquet", "xxxx")
    put(root, "shown/date=2026-01-06/hour=00/part-1.partial", "x")
    put(root, "predictions/date=2026-01-05/hour=23/part-0.parquet", "x")
    cut = cut_of(LOG, settings)
    assert cut.splitlines()[0] == "4 shown/date=2026-01-05/hour=23/part-0.parquet"
    assert files_of_cut(cut) == [
        "shown/date=2026-01-05/hour=23/part-0.parquet",
        "shown/date=2026-01-06/hour=00/part-0.parquet",
    ]


def test_cut_changes_when_a_file_grows_or_is_added(settings: Settings) -> None:
    root = live_root(LOG, settings)
    put(root, "shown/date=2026-01-05/hour=23/part-0.parquet", "xx")
    before = cut_of(LOG, settings)
    put(root, "shown/date=2026-01-05/hour=23/part-0.parquet", "xxx")
    grown = cut_of(LOG, settings)
    put(root, "shown/date=2026-01-05/hour=23/part-1.parquet", "x")
    assert len({before, grown, cut_of(LOG, settings)}) == 3
