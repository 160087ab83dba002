"""The Feast adapter meets the contract of the feature store port, with SQLite and with Redis."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import FeatureStoreUnavailable
from infra.feature_store.feast_import import Entity, FeatureService, FeatureView, Field, FileSource, ValueType, types
from infra.feature_store.feast_store import FeastStore
from infra.feature_store.online_rows import rows_of
from infra.feature_store.port import FeatureRow
from infra.settings import Settings
from tests.support.containers import REDIS, container, docker, need_image, redis_answers, wait_for
from tests.support.tries import stays_below

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)


def definitions(table: Path) -> list[object]:
    rider = Entity(name="rider_id", join_keys=["rider_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="trips",
        entities=[rider],
        schema=[
            Field(name="rider_id", dtype=types.Int64),
            Field(name="count", dtype=types.Float32),
            Field(name="places", dtype=types.Array(types.Int64)),
        ],
        source=FileSource(path=str(table), timestamp_field="feature_ts"),
        ttl=timedelta(days=365),
    )
    return [rider, view, FeatureService(name="rider", features=[view])]


def settings_of(setting: str, home: Path) -> Iterator[Settings]:
    """Yield the settings of a store. The composed one is a Redis container with a password, as in compose."""
    if setting == "embedded":
        yield Settings(home=home)
        return
    need_image(REDIS)
    (home / "password").write_text("a-password")
    with container(REDIS, port=6379, command=("redis-server", "--requirepass", "a-password")) as (_, address):
        wait_for(lambda: redis_answers(address), "Redis")
        yield Settings(home=home, redis=address, redis_password_file=home / "password")


def open_store(root: Path, settings: Settings, *, project: str = "contract", online_only: bool = False) -> FeastStore:
    online = rows_of(root, settings)
    return FeastStore(root, project, service="rider", entity="rider_id", online_only=online_only, online=online)


@pytest.fixture(scope="module", params=["embedded", "composed"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from settings_of(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def store(settings: Settings) -> FeastStore:
    """Riders 0 to 49 have one row a day for three days: count = 10 * day + rider / 100, places = [rider, day]."""
    root = settings.home
    riders, days = np.tile(np.arange(50), 3), np.repeat(np.arange(3), 50)
    table = pa.table(
        {
            "rider_id": riders,
            "count": (10 * days + riders / 100).astype(np.float32),
            "places": [[int(r), int(d)] for r, d in zip(riders, days, strict=True)],
            "feature_ts": pa.array([START + DAY * int(d) for d in days], pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, root / "trips.parquet")
    made = open_store(root, settings)
    made.apply(definitions(root / "trips.parquet"))
    assert made.materialize("trips", START + DAY * 2) == 50
    return made


def entity_rows(riders: list[int], at: list[datetime]) -> pd.DataFrame:
    return pd.DataFrame({"rider_id": riders, "event_ts": pd.to_datetime(pd.Series(at), utc=True)})


def test_online_read_returns_the_newest_row_and_its_time(store: FeastStore) -> None:
    row = store.read_online(7)
    assert row.values["count"] == pytest.approx(20.07)
    np.testing.assert_array_equal(np.asarray(row.values["places"]), [7, 2])
    assert row.event_ts == START + DAY * 2


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for all tests, as in a service: a connection belongs to the loop that opened it."""
    with asyncio.Runner() as runner:
        yield runner


def test_async_reads_equal_blocking_reads(store: FeastStore, loop: asyncio.Runner) -> None:
    for rider in (7, 11, 10**15):
        row, found = store.read_online(rider), loop.run(store.read_soon(rider))
        assert found.event_ts == row.event_ts
        assert found.values.keys() == row.values.keys()
        for name, value in row.values.items():
            np.testing.assert_array_equal(np.asarray(found.values[name]), np.asarray(value))

    async def at_once() -> list[FeatureRow]:
        return await asyncio.gather(*(store.read_soon(rider) for rider in range(8)))

    assert [row.values["count"] for row in loop.run(at_once())] == pytest.approx([20 + n / 100 for n in range(8)])


def test_batch_read_equals_single_reads_in_order(store: FeastStore) -> None:
    riders = [11, 10**15, 7, 11]
    for rider, row in zip(riders, store.read_many(riders), strict=True):
        alone = store.read_online(rider)
        assert (row.event_ts, row.newest_ts) == (alone.event_ts, alone.newest_ts)
        assert row.values.keys() == alone.values.keys()
        for name, value in alone.values.items():
            np.testing.assert_array_equal(np.asarray(row.values[name]), np.asarray(value))
    assert store.read_many([]) == []


def test_cancelled_reads_do_not_affect_later_reads(store: FeastStore, loop: asyncio.Runner) -> None:
    async def impatient() -> None:
        for rider in range(20):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rider / 20_000):
                    await store.read_soon(rider)
        for rider in range(20):
            row = await store.read_soon(rider)
            assert row.values["count"] == pytest.approx(20 + rider / 100)

    loop.run(impatient())


@pytest.mark.parametrize("rider", [0, 7, 49, 10**15])
def test_online_read_equals_the_result_of_feast(store: FeastStore, rider: int) -> None:
    theirs, ours = store.read_by_service(rider), store.read_online(rider).values
    assert theirs.keys() == {"count", "places"}
    for name, value in theirs.items():
        if value is None:
            assert name not in ours
        else:
            np.testing.assert_array_equal(np.asarray(ours[name]), np.asarray(value))


def test_unknown_entity_has_an_empty_row(store: FeastStore) -> None:
    row = store.read_online(10**15)
    assert not row.is_known
    assert row.values == {}


def test_join_keeps_rows_order_and_index(store: FeastStore) -> None:
    rng = np.random.default_rng(1)
    riders = rng.integers(0, 50, 500).tolist()
    days = rng.integers(0, 3, 500).tolist()
    rows = entity_rows(riders, [START + DAY * day + timedelta(hours=1) for day in days])
    rows.index = pd.Index(range(1000, 1500))
    joined = store.join(rows, ["trips:count"])
    assert joined.index.tolist() == rows.index.tolist()
    assert joined["rider_id"].tolist() == riders
    np.testing.assert_allclose(
        joined["count"], [10 * d + r / 100 for r, d in zip(riders, days, strict=True)], rtol=1e-6
    )


def test_join_excludes_values_after_the_event_time(store: FeastStore) -> None:
    just_before, at = START + DAY - timedelta(microseconds=1), START + DAY
    joined = store.join(entity_rows([3, 3, 3], [just_before, at, START - DAY]), ["trips:count"])
    assert joined["count"].tolist()[:2] == pytest.approx([0.03, 10.03])
    assert pd.isna(joined["count"].tolist()[2])


def test_join_keeps_rows_with_equal_entity_and_time(store: FeastStore) -> None:
    joined = store.join(entity_rows([5] * 40, [START + DAY] * 40), ["trips:count", "trips:places"])
    assert len(joined) == 40
    assert joined["count"].nunique() == 1


def test_online_values_equal_offline_values(store: FeastStore) -> None:
    joined = store.join(entity_rows(list(range(50)), [START + DAY * 5] * 50), ["trips:count"])
    online = [store.read_online(rider).values["count"] for rider in range(50)]
    np.testing.assert_allclose(joined["count"], np.array(online, float), rtol=1e-6)


def test_pushed_row_is_readable_at_once(store: FeastStore) -> None:
    row = entity_rows([49], [START + DAY * 9]).assign(count=np.float32(99.0), places=[[1, 2, 3]])
    store.push("trips", row)
    pushed = store.read_online(49)
    assert pushed.values["count"] == 99.0
    assert pushed.event_ts == START + DAY * 9


def test_online_only_store_reads_the_same_rows(store: FeastStore, settings: Settings) -> None:
    reader = open_store(settings.home, settings, online_only=True)
    assert reader.read_online(11).values["count"] == pytest.approx(20.11)
    assert store.count("trips") == 50


def test_builds_on_a_shared_server_have_separate_rows(store: FeastStore, settings: Settings, tmp_path: Path) -> None:
    other = open_store(tmp_path, settings, project="contract_of_another_build")
    other.apply(definitions(settings.home / "trips.parquet"))
    assert not other.read_online(7).is_known
    assert other.materialize("trips", START) == 50
    assert other.read_online(7).values["count"] == pytest.approx(0.07)
    assert store.read_online(7).values["count"] == pytest.approx(20.07)
    if settings.redis:
        assert other.delete_other_projects("contract", {"contract"}) == 0
        assert store.delete_other_projects("contract", set()) == 50
        assert not other.read_online(7).is_known
        assert store.read_online(7).is_known


def test_reads_fail_fast_while_redis_hangs_or_is_down_and_recover_afterwards(tmp_path: Path) -> None:
    need_image(REDIS)
    with container(REDIS, port=6379) as (name, address):
        wait_for(lambda: redis_answers(address), "Redis")
        settings = Settings(home=tmp_path, redis=address)
        writer = open_store(tmp_path, settings)
        table = pa.table({"rider_id": [1], "count": np.ones(1, np.float32), "places": [[1]], "feature_ts": [START]})
        pq.write_table(table, tmp_path / "trips.parquet")
        writer.apply(definitions(tmp_path / "trips.parquet"))
        writer.materialize("trips", START)
        reader = open_store(tmp_path, settings, online_only=True).open()
        with asyncio.Runner() as loop:
            reads = (lambda: reader.read_online(1), lambda: loop.run(reader.read_soon(1)))
            assert [read().is_known for read in reads] == [True, True]
            for stop, start in (("pause", "unpause"), ("stop", "")):
                docker(stop, name)
                for read in (*reads, *reads):
                    stays_below(1.5, partial(refused_s, read), "seconds until a read fails, without retries")
                if start:
                    docker(start, name)
                    for read in reads:
                        wait_for(lambda read=read: answers(read), "a read after the pause")  # type: ignore[misc]


def refused_s(read: Callable[[], FeatureRow]) -> float:
    """Return the seconds until a read fails."""
    started = time.monotonic()
    with pytest.raises(FeatureStoreUnavailable):
        read()
    return time.monotonic() - started


def answers(read: Callable[[], FeatureRow]) -> bool:
    try:
        read()
    except FeatureStoreUnavailable:
        return False
    return True


def test_missing_store_raises_feature_store_unavailable(tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreUnavailable):
        FeastStore(tmp_path, "gone", service="rider", entity="rider_id", online_only=True).open()


def test_damaged_database_raises_feature_store_unavailable(
    tmp_path: Path, store: FeastStore, settings: Settings
) -> None:
    if settings.redis:
        pytest.skip("with Redis, the store has no database file")
    store.close()
    source = store._repository
    for name in ("registry.db", "online.db"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    damaged = bytearray((tmp_path / "online.db").read_bytes())
    damaged[: len(damaged) // 2] = b"x" * (len(damaged) // 2)
    (tmp_path / "online.db").write_bytes(damaged)
    broken = FeastStore(tmp_path, "contract", service="rider", entity="rider_id", online_only=True)
    with pytest.raises(FeatureStoreUnavailable):
        broken.read_online(7)
