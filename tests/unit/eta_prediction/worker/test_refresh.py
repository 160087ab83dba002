"""The feature effect: what it writes depends on the events alone, also after a restart from the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry

from eta_prediction.config import SMOKE
from eta_prediction.domain import GROUPS
from eta_prediction.events.history import EventRows
from eta_prediction.events.tables import INCIDENTS, TRAVERSALS, WEATHER, table_of
from eta_prediction.features.forecast import HORIZONS_MIN, INPUTS, SpeedForecast, make_kernels
from eta_prediction.features.great_circle import GreatCircle
from eta_prediction.features.places import Places
from eta_prediction.features.route_time import RouteTime
from eta_prediction.items.city import City
from eta_prediction.items.road_state import RoadState
from eta_prediction.worker import refresh
from eta_prediction.worker.metrics import OnlineMetrics
from eta_prediction.worker.refresh import FeatureEffect
from infra.columns import DAY_S, ragged
from infra.errors import FeatureStoreUnavailable
from infra.live.clock import WorldClock
from infra.registry.release import Release, read_release
from infra.settings import Settings
from infra.simulation.days import day_file, write_day
from infra.simulation.streams import start_ts
from infra.stream.consumer import Received
from tests.support.eta_events import incident, quote, trip, upload, weather
from tests.support.eta_roads import GRAPH, profile_of
from tests.unit.eta_prediction.events.test_live_history import ROWS, write

CONFIG = replace(SMOKE, world=replace(SMOKE.world, days=1))
NOW = start_ts(CONFIG.world) + DAY_S
FORECAST, OBSERVED = np.zeros((GROUPS, len(HORIZONS_MIN)), np.float32), np.zeros(GROUPS, np.float32)
STATE = RoadState(1, NOW - 60, FORECAST, OBSERVED, 0.0, np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0))
CITY = City(
    GRAPH, profile_of(), SpeedForecast(np.full((len(HORIZONS_MIN), len(INPUTS)), 0.1), make_kernels(GRAPH)),
    Places.nothing(), RouteTime(np.array([1.0, 0, 0, 0, 0, 0, 100.0, 60.0])), 1800.0,
    GreatCircle(100.0, 0.1, 1.3, (0.7, 1.0, 1.5)),
    EventRows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)), None, STATE, CONFIG.features, {},
)  # fmt: skip


class Store:
    """Keeps the pushed rows. With `is_down`, it does not answer."""

    def __init__(self) -> None:
        self.pushed: list[dict[str, Any]] = []
        self.is_down = False

    def push(self, view: str, rows: pd.DataFrame) -> None:
        assert view == "driver_now"
        if self.is_down:
            raise FeatureStoreUnavailable("down")
        self.pushed += [dict(row) for _, row in rows.iterrows()]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(refresh, "open_city", lambda path: CITY)
    monkeypatch.setattr(refresh, "open_store", lambda *_, **__: found)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A design with a release and a history of one day: one trip of two edges, an open incident, and no rain."""
    world, begin_ts = tmp_path / "world", start_ts(CONFIG.world)
    departure = np.array([NOW - 1200])
    edges, enter, spent = (ragged(np.array(values), np.array([2])) for values in ([7, 8], [0, 20], [1500, 1000]))
    traversals = {"trip_id": np.array([1]), "departure_ts": departure, "late_s": np.zeros(1)}
    traversals |= {"edges": edges, "enter_s": enter, "cs": spent}
    incidents = {"incident_id": np.array([9]), "edge": np.array([2]), "begin_ts": departure, "reported_ts": departure}
    incidents["cleared_ts"] = np.array([NOW + 1800])
    at_ts = begin_ts + 300 * np.arange(288)
    for name, schema, columns in (
        ("traversals", TRAVERSALS, traversals),
        ("incidents", INCIDENTS, incidents),
        ("weather", WEATHER, {"at_ts": at_ts, "rain": np.zeros(288)}),
    ):
        write_day(day_file(world / name, begin_ts), table_of(schema, columns))
    (tmp_path / "features" / "trips").mkdir(parents=True)
    release = Release("eta_prediction", "eta", 1, "d", "m", "i", "f", world_now=NOW)
    release.write(tmp_path)
    steps = {"world": world, "features": tmp_path / "features", "release": tmp_path}
    (tmp_path / "current.json").write_text(json.dumps({name: str(path) for name, path in steps.items()}))
    return tmp_path


def effect(root: Path, offered: list[Any] | None = None) -> FeatureEffect:
    def offer(topic: str, make: Callable[[], Any]) -> None:
        if offered is not None:
            offered.append(make())

    live = root / "live"
    metrics = OnlineMetrics(CollectorRegistry())
    made = FeatureEffect(Settings(home=root), root, live, live / "roads.npz", CONFIG, WorldClock(NOW), metrics, offer)
    made.resume("1")
    return made


def received(events: Sequence[Any], first: int = 0) -> list[Received]:
    return [Received(event, ROWS[type(event)][0], 0, first + at, 0.0) for at, event in enumerate(events)]


def events() -> list[Any]:
    found: list[Any] = [upload(n, 0, NOW + 5 * n, seconds=[40.0, 30.0]) for n in range(20)]
    found += [quote(n, request_ts=NOW, departure_ts=NOW) for n in range(3)]
    found += [trip(n, at_ts=NOW + 100 + n, request_ts=NOW) for n in range(3)]
    return [*found, weather(NOW, 1.0), incident(1, reported_ts=NOW + 10, received_ts=NOW + 11)]


def state_of(one: FeatureEffect, root: Path, at_ts: float) -> RoadState:
    one.refresh(at_ts)
    return RoadState.read(root / "live" / "roads.npz")


def assert_same(one: RoadState, other: RoadState) -> None:
    for name, values in vars(one).items():
        np.testing.assert_allclose(values, getattr(other, name), rtol=1e-5, atol=1e-7, err_msg=name)


def test_state_has_the_traffic_of_history_and_stream(root: Path, store: Store) -> None:
    offered: list[Any] = []
    one = effect(root, offered)
    before = state_of(one, root, NOW)
    assert before.probes > 0.1, "the history's last trip still counts"
    assert before.incident_edge.tolist() == [2]
    one.apply(received(events()))
    after = state_of(one, root, NOW + 180)
    assert after.probes > before.probes + 10
    assert (after.rain, sorted(after.incident_edge.tolist())) == (1.0, [2, 4])
    assert np.abs(after.forecast - before.forecast).max() > 0.05
    assert [event.speeds_id for event in offered] == [int(NOW), int(NOW + 180)] == [
        before.snapshot_id, after.snapshot_id
    ]  # fmt: skip
    assert state_of(one, root, NOW + 1801).incident_edge.tolist() == [4], "the history's incident has ended"


def test_state_is_written_only_as_often_as_configured(root: Path, store: Store) -> None:
    one = effect(root)
    first = state_of(one, root, NOW)
    assert state_of(one, root, NOW + CONFIG.features.speeds_every_s - 1).made_ts == first.made_ts
    assert state_of(one, root, NOW + CONFIG.features.speeds_every_s).made_ts > first.made_ts


def test_batch_applied_twice_changes_nothing(root: Path, store: Store) -> None:
    once, twice = effect(root), effect(root)
    for one, times in ((once, 1), (twice, 3)):
        for _ in range(times):
            one.apply(received(events()))
    assert_same(state_of(once, root, NOW + 180), state_of(twice, root, NOW + 180))
    assert len(store.pushed) == 2
    assert store.pushed[0] == store.pushed[1]
    assert (store.pushed[0]["driver_id"], store.pushed[0]["trips"]) == (3, 3)


def test_restart_resumes_from_the_log_and_writes_the_same(root: Path, store: Store) -> None:
    found, half = events(), 10
    one = effect(root)
    one.apply(received(found))
    wanted = state_of(one, root, NOW + 180)
    write(root / "live", found[:half], now=NOW + 100)
    again = effect(root)
    assert again.resume("1")[ROWS[type(found[0])][0], 0] == half
    again.apply(received(found[half - 3 :], half - 3))
    assert_same(state_of(again, root, NOW + 180), wanted)
    assert store.pushed[0] == store.pushed[1]


def test_new_release_keeps_events_that_the_log_does_not_contain_yet(root: Path, store: Store) -> None:
    one = effect(root)
    one.apply(received(events()))
    Release("eta_prediction", "eta", 2, "d", "m", "i", "f", world_now=NOW).write(root)
    one._load(read_release(root))
    other = effect(root)
    other.apply(received(events()))
    assert_same(state_of(one, root, NOW + 180), state_of(other, root, NOW + 180))


def test_state_is_written_while_the_store_is_down_and_rows_are_pushed_later(root: Path, store: Store) -> None:
    one = effect(root)
    one.apply(received(events()))
    store.is_down = True
    with pytest.raises(FeatureStoreUnavailable):
        one.refresh(NOW + 180)
    assert RoadState.read(root / "live" / "roads.npz").made_ts == NOW + 180
    store.is_down = False
    one.refresh(NOW + 181)
    assert [row["driver_id"] for row in store.pushed] == [3]


def test_late_upload_leaves_the_written_state_and_is_counted(root: Path, store: Store) -> None:
    offered: list[Any] = []
    one = effect(root, offered)
    one.apply(received(events()))
    before = state_of(one, root, NOW + 180)
    one.apply(received([upload(77, 0, NOW + 10, seconds=[90.0, 90.0], received_ts=NOW + 900)], 90))
    assert_same(RoadState.read(root / "live" / "roads.npz"), before)
    state_of(one, root, NOW + 901)
    assert [event.late for event in offered] == [0, 2]
