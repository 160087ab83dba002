"""The worker's traffic equals the build's for the same traversals, in any order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eta_prediction.config import FeatureConfig
from eta_prediction.domain import Array
from eta_prediction.events.history import IncidentRows
from eta_prediction.events.live_history import distinct, upload_rows
from eta_prediction.events.rows import incident_event_rows, traversal_event_rows, weather_event_rows
from eta_prediction.events.schemas import Traversals
from eta_prediction.features.edge_residuals import edge_traffic
from eta_prediction.features.forecast import HORIZONS_MIN, INPUTS, SpeedForecast, make_kernels
from eta_prediction.features.residuals import PARTS, added_sums, nothing, probes_of, run
from eta_prediction.features.speeds import Speeds
from eta_prediction.worker import append_log
from eta_prediction.worker.append_log import LATE_S, TrafficLog
from tests.support.eta_events import START, incident, upload, weather
from tests.support.eta_roads import GRAPH, profile_of

HALF_LIFE_S = 720.0
PROFILE, CONFIG = profile_of(), FeatureConfig()
FORECAST = SpeedForecast(np.full((len(HORIZONS_MIN), len(INPUTS)), 0.1), make_kernels(GRAPH))
NONE = IncidentRows(*(np.zeros(0, kind) for kind in (np.int64, np.int64, float, float, float)))
DRY = (np.zeros(0), np.zeros(0))


def traffic_log(at_ts: float = START) -> TrafficLog:
    return TrafficLog(GRAPH, PROFILE, HALF_LIFE_S, at_ts, NONE, DRY)


def speeds(log: TrafficLog, at_ts: float) -> Speeds:
    return log.speeds(CONFIG, FORECAST, at_ts, int(at_ts))


def uploads(n: int = 40, seed: int = 0) -> list[Traversals]:
    """Uploads of an hour, some of them received long after they were driven."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        enter_ts = START + float(rng.uniform(0, 3000))
        after_s = 40 + float(rng.exponential(600) if rng.random() < 0.2 else rng.uniform(0, 30))
        edges, spent = rng.integers(0, GRAPH.edges, 2), rng.uniform(2, 20, 2).round(2)
        found.append(
            upload(
                number, 0, round(enter_ts), edges=edges.tolist(), seconds=spent.tolist(),
                received_ts=round(enter_ts + after_s, 3),
            )
        )  # fmt: skip
    return found


def build_sums(events: Sequence[Traversals], minutes: int) -> Array:
    """float64[minutes + 1, PARTS, groups]: sums at the beginning of each minute, as the build computes them."""
    rows = upload_rows(distinct(traversal_event_rows(events)))
    probes = probes_of(GRAPH, PROFILE, rows.edge, rows.enter_ts, rows.seconds, np.zeros(len(rows.edge)))
    minute = np.ceil((rows.known_ts - START) / 60).astype(np.int64)
    kept = np.flatnonzero(minute <= minutes)
    probes = type(probes)(*(values[kept] for values in vars(probes).values()))
    ends: Array = START + 60.0 * np.arange(minutes + 1, dtype=np.float64)
    return run(nothing(START), added_sums(probes, PROFILE, minute[kept], ends, HALF_LIFE_S), ends, HALF_LIFE_S)[0]


@settings(max_examples=40)
@given(st.integers(0, 10), st.lists(st.integers(1, 59), max_size=8, unique=True), st.randoms())
def test_speeds_equal_those_of_the_build_at_any_time_and_in_any_order(
    seed: int, minutes: list[int], random: Any
) -> None:
    events = uploads(seed=seed)
    wanted, log = build_sums(events, 60), traffic_log()
    for before, minute in pairwise([0, *sorted(minutes), 60]):
        low, high = START + 60 * before, START + 60 * minute
        batch = [
            event for event in events if low < event.received_ts <= high or (minute == 60 and event.received_ts > high)
        ]
        log.add(traversal_event_rows(random.sample(batch, len(batch)) + batch[:2])) if batch else None
        made = speeds(log, high)
        np.testing.assert_allclose(log._state.sums, wanted[minute], rtol=1e-9, atol=1e-12)
        slot = PROFILE.slot(np.array([high]))
        np.testing.assert_allclose(made.forecast, FORECAST.apply(PROFILE, wanted[minute][None], slot)[0], rtol=1e-5)
        np.testing.assert_allclose(made.observed, wanted[minute][PARTS.index("slow_n")], rtol=1e-5)


def test_upload_applied_twice_changes_nothing() -> None:
    once, twice = traffic_log(), traffic_log()
    rows = traversal_event_rows(uploads())
    assert once.add(rows) == twice.add(rows) > 0
    assert twice.add(rows) == 0
    for at_ts in (START + 1800, START + 7200):
        one, other = speeds(once, at_ts), speeds(twice, at_ts)
        twice.add(rows)
        np.testing.assert_array_equal(one.forecast, other.forecast)
        assert one.observed.sum() > 0


def test_late_upload_changes_later_speeds_only() -> None:
    log, without = traffic_log(), traffic_log()
    for one in (log, without):
        one.add(traversal_event_rows(uploads(10)))
    late = upload(99, 0, START + 60, seconds=[400.0, 400.0], received_ts=START + 900)
    assert log.add(traversal_event_rows([late])) == 2
    assert late.received_ts - late.enter_ts[1] - late.seconds[1] > LATE_S
    before = speeds(log, START + 899)
    np.testing.assert_array_equal(before.forecast, speeds(without, START + 899).forecast)
    after, unchanged = speeds(log, START + 901), speeds(without, START + 901)
    assert np.abs(after.forecast - unchanged.forecast).max() > 0.01
    assert after.observed.sum() > unchanged.observed.sum()
    np.testing.assert_array_equal(before.forecast, speeds(traffic_with(uploads(10)), START + 899).forecast)


def traffic_with(events: Sequence[Traversals]) -> TrafficLog:
    log = traffic_log()
    log.add(traversal_event_rows(events))
    return log


def test_rain_of_the_entry_explains_slow_traversals() -> None:
    rainy, dry = traffic_log(), traffic_log()
    rainy.add_weather(weather_event_rows([weather(START, 1.0), weather(START + 600, 0.0)]))
    events = traversal_event_rows([upload(1, 0, START + 300)])
    for log in (rainy, dry):
        log.add(events)
    one, other = speeds(rainy, START + 590), speeds(dry, START + 590)
    assert (one.rain, other.rain) == (1.0, 0.0)
    assert one.forecast.sum() < other.forecast.sum()
    assert speeds(rainy, START + 610).rain == 0.0


def test_report_does_not_change_the_weather_of_the_history() -> None:
    """Traversals of the history are explained by its rain, whatever a client reports for those times later."""
    history = np.array([START, START + 300.0]), np.array([1.0, 0.0])
    plain, told = (TrafficLog(GRAPH, PROFILE, HALF_LIFE_S, START, NONE, history) for _ in range(2))
    told.add_weather(weather_event_rows([weather(at_ts, 0.5) for at_ts in (START, START + 150, START + 300)]))
    later = START + np.array([10.0, 160.0, 310.0])
    assert told._rain(later).tolist() == plain._rain(later).tolist() == [1.0, 1.0, 0.0]
    told.add_weather(weather_event_rows([weather(START + 100, 0.5), weather(START + 600, 0.75)]))
    assert told._rain(START + np.array([310.0, 610.0])).tolist() == [0.0, 0.75]


def test_incidents_of_the_history_and_of_the_stream_are_joined() -> None:
    old = IncidentRows(*(np.array([value]) for value in (5, 7, START - 900, START - 600, np.inf)))
    log = TrafficLog(GRAPH, PROFILE, HALF_LIFE_S, START, old, DRY)
    log.add_incidents(incident_event_rows([incident(1), incident(2)]))
    log.add_incidents(incident_event_rows([incident(2, START + 30), incident(1)]))
    found = log.incidents()
    assert found.incident_id.tolist() == [5, 1, 2]
    assert found.cleared_ts.tolist() == [np.inf, np.inf, START + 31]


def test_edges_that_are_not_on_the_map_are_left_out() -> None:
    log = traffic_with([upload(1, 0, edges=[GRAPH.edges, 4]), upload(2, 0, edges=[-1, 5])])
    assert speeds(log, START + 60).observed.sum() == pytest.approx(0.5 ** (40 / HALF_LIFE_S) * 2, abs=0.1), (
        "two of four traversals count"
    )


def test_memory_of_upload_ids_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_log, "REMEMBERED", 10)
    log = traffic_with(uploads(40))
    assert len(log._seen) == 10


def test_estimates_of_single_edges_equal_those_of_the_build() -> None:
    config = FeatureConfig(probe_smoothing="edge")
    log, events, at_ts = traffic_log(), uploads(), START + 3000
    log.add(traversal_event_rows(events))
    found = log.speeds(config, FORECAST, at_ts, 1).by_edge
    rows = upload_rows(traversal_event_rows(events))
    known = np.flatnonzero(rows.known_ts <= at_ts)
    dry = np.zeros(len(rows.edge))
    probes = probes_of(GRAPH, PROFILE, rows.edge, rows.enter_ts, rows.seconds, dry)
    everywhere = np.arange(GRAPH.edges)
    built = edge_traffic(
        PROFILE, FORECAST, probes, rows.edge, rows.known_ts, everywhere, np.full(GRAPH.edges, at_ts), HALF_LIFE_S
    )
    np.testing.assert_allclose(found, built.u, atol=1e-6)
    assert 20 < len(np.unique(rows.edge[known])) == np.count_nonzero(found)


def test_speeds_of_groups_contain_no_estimates_of_single_edges() -> None:
    log = traffic_log()
    log.add(traversal_event_rows(uploads()))
    assert len(speeds(log, START + 3000).by_edge) == 0
