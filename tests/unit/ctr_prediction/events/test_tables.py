"""Builds read the live tables of the worker together with the generated history, up to the end of the log."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_prediction.config import SMOKE
from ctr_prediction.events import history
from ctr_prediction.events.history import EventLog, PublicCatalogue, event_log, read_live
from ctr_prediction.events.paths import CLICKS, PREDICTIONS, SHOWN, end_of_log
from ctr_prediction.events.schemas import TOPICS, Auction, Click, Impression
from ctr_prediction.events.tables import auction_rows, click_rows, shown_rows
from ctr_prediction.items.live_counts import LiveStats, stats_at
from ctr_prediction.offline.generate import write_catalogue, write_log
from ctr_prediction.offline.samples import COLUMNS, live_frame
from ctr_prediction.world.truth import make_world
from infra.columns import seconds
from infra.stream.consumer import Received
from infra.stream.sink import ParquetSink, Table
from tests.support.ctr_events import START, auction, catalogue, click, impression

TINY = replace(SMOKE.world, users=60, segments=6, publishers=4, campaigns=6, requests_per_day=150, days=2)
TABLES = {
    TOPICS.impressions: Table(SHOWN, shown_rows, "impression_id"),
    TOPICS.clicks: Table(CLICKS, click_rows, "impression_id"),
    TOPICS.auctions: Table(PREDICTIONS, auction_rows, "auction_id"),
}
TOPIC_OF: dict[type, str] = {Impression: TOPICS.impressions, Click: TOPICS.clicks, Auction: TOPICS.auctions}


def write(live: Path, *batches: Sequence[Any]) -> ParquetSink:
    """Write the batches one after the other with the sink."""
    sink = ParquetSink(live, TABLES, lambda: START)
    sink.resume("1")
    offset = 0
    for batch in batches:
        received = [Received(event, TOPIC_OF[type(event)], 0, offset + at, 0.0) for at, event in enumerate(batch)]
        sink.apply(received)
        offset += len(batch)
    return sink


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world")
    made = make_world(TINY)
    write_catalogue(made, directory)
    write_log(made, directory, lambda day, rows: None)
    return directory


def test_live_impression_extends_the_history_from_its_seen_time(world: Path, tmp_path: Path) -> None:
    shown = [impression(2**48, ad_id=1, price=0.1, request_ts=START + 5.5, seen_ts=START + 7.25)]
    write(tmp_path, [*shown, click(2**48, label_ts=START + 40.0)])
    known = PublicCatalogue.read(world)
    history, both = event_log(world, None, known), event_log(world, tmp_path, known)
    assert len(both) == len(history) + 1
    for name in EventLog.__annotations__:
        np.testing.assert_array_equal(getattr(both, name)[:-1], getattr(history, name), err_msg=name)
    assert (both.at_s[-1], both.label_s[-1]) == (START + 7.25, START + 40.0)
    assert (both.number[-1], both.price[-1]) == (shown[0].number, np.float32(0.1))


def test_logs_by_users_partition_the_log_and_their_counts_sum_up(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [impression(2**48, ad_id=1), impression(2**48 + 1, ad_id=2), click(2**48)])
    known = PublicCatalogue.read(world)
    whole = event_log(world, tmp_path, known)
    monkeypatch.setattr(history, "USERS_AT_ONCE", len(known.people) // 3)
    parts = list(history.logs_by_users(world, tmp_path, known))
    assert [user for users, _ in parts for user in users] == list(range(len(known.people)))
    for users, log in parts:
        mine = whole.of_users(np.array(users))
        for name in EventLog.__annotations__:
            np.testing.assert_array_equal(getattr(log, name), getattr(mine, name), err_msg=name)
    counted = [stats_at(log, known, SMOKE, START + 60) for _, log in parts]
    total = functools.reduce(LiveStats.plus, counted)
    for name, values in vars(stats_at(whole, known, SMOKE, START + 60)).items():
        np.testing.assert_allclose(getattr(total, name), values, err_msg=name)
    assert total.ad_shown.sum() == len(whole)


def test_live_rows_have_the_training_columns_with_the_types_of_the_history(world: Path, tmp_path: Path) -> None:
    write(tmp_path, [impression(1, ad_id=1), impression(2, ad_id=2, policy="uniform_v1"), click(1)])
    table = read_live(tmp_path)
    assert table is not None
    day = next((world / "log").rglob("*.parquet"))
    history = pq.read_schema(day)
    same = [name for name in table.column_names if name in history.names]
    assert set(COLUMNS) <= set(same)
    for name in same:
        live, made = table.schema.field(name).type, history.field(name).type
        assert live == made or (pa.types.is_dictionary(live) and pa.types.is_dictionary(made)), name
    rows = live_frame(table, PublicCatalogue.read(world), START + 100)
    assert rows["clicked"].tolist() == [True, False]
    assert rows["is_random"].tolist() == [False, True], "training leaves these rows to the gate"
    assert rows["at_s"].tolist() == [START + 1, START + 1], "features are joined as of the request"
    assert rows["delay_s"].tolist() == [2.0, np.inf]


def test_duplicate_events_count_once_and_the_earliest_click_label_wins(tmp_path: Path) -> None:
    shown, other = impression(1), impression(1, 1)
    write(tmp_path, [shown, other, click(1, label_ts=START + 9)], [shown, click(1, label_ts=START + 4), click(8)])
    table = read_live(tmp_path)
    assert table is not None
    assert table["impression_id"].to_pylist() == [shown.number, other.number]
    assert table["clicked"].to_pylist() == [True, False]
    assert seconds(table["label_ts"].to_numpy())[0] == START + 4


def test_world_continues_after_the_last_logged_event(tmp_path: Path) -> None:
    assert end_of_log(tmp_path) == 0
    write(tmp_path, [impression(1, seen_ts=START + 2.5)])
    assert end_of_log(tmp_path) == START + 2.5
    write(tmp_path, [auction(request_ts=START + 3.5)], [click(1, label_ts=START + 60.125)])
    assert end_of_log(tmp_path) == START + 60.125


def test_sink_stores_complete_auctions_and_lists_stored_event_ids(tmp_path: Path) -> None:
    sink = write(tmp_path, [auction(), impression(5), click(5)])
    (file,) = (tmp_path / PREDICTIONS).rglob("*.parquet")
    assert Auction(**orjson.loads(pq.read_table(file, partitioning=None)["event"][0].as_py())) == auction()
    names = {f"{TOPIC_OF[type(event)]}/{event.event_id}" for event in (auction(), impression(5), click(5))}
    assert set(sink.known()) == names, "stored ids detect duplicates after a restart"


def test_impressions_of_unknown_users_ads_or_slots_are_skipped(tmp_path: Path) -> None:
    shown = [impression(1), impression(2, user_id=10**6), impression(3, ad_id=10**6), impression(4, slot=9)]
    write(tmp_path, shown)
    table = read_live(tmp_path)
    assert table is not None
    assert EventLog.of(table, catalogue()).number.tolist() == [shown[0].number]
