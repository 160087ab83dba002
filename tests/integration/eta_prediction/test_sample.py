"""From the log to the sample on the preset `smoke`: planted truths are recovered, and no feature knows the future.

The steps world, features, materialize and sample run once in a temporary directory. A second world differs from the
first one only in what happens after noon of its last day.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.design import DESIGN
from eta_prediction.domain import GROUPS, Array, Bools, hour_of_week
from eta_prediction.events.history import (
    incident_rows,
    read_calendar,
    read_graph,
    read_incidents,
    read_traversals,
    read_trips,
    read_weather,
)
from eta_prediction.events.tables import INCIDENTS, table_of
from eta_prediction.features.driver_row import VIEW
from eta_prediction.features.forecast import HORIZONS_MIN
from eta_prediction.features.incidents import KnownIncidents, mean_life_s
from eta_prediction.features.places import Places, event_inputs
from eta_prediction.features.profile import SLOT_H, SLOTS, Profile
from eta_prediction.features.route_inputs import Roads, RouteInputs, Snapshots, Traffic, route_inputs
from eta_prediction.features.route_time import RouteTime
from eta_prediction.features.speeds import EVERY_S, SpeedHistory
from eta_prediction.features.views import DriverFeatures, driver_from_row, open_store
from eta_prediction.model.inputs import NAMES, TripInputs, assemble, column
from eta_prediction.offline.feature_tables import (
    PLACES,
    PROFILE,
    ROUTE_TIME,
    TRIPS,
    compute_tables,
    follow_places,
    trip_file,
)
from eta_prediction.offline.generate import write_history
from eta_prediction.offline.samples import HOLDOUT, TRAIN, Sample, has_label, materialize, write_samples
from eta_prediction.offline.traffic_history import training_days
from eta_prediction.offline.trip_table import TripTable
from eta_prediction.world.traffic.city_state import draw_day, first_state
from eta_prediction.world.traffic.rush import profile as rush
from eta_prediction.world.truth import make_world
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, seconds, timestamps
from infra.routing.routes import Routes
from infra.settings import Settings
from infra.simulation.days import day_file
from infra.simulation.streams import start_ts

CONFIG = replace(SMOKE, world=replace(SMOKE.world, trips_per_day=3_000))
LAST = CONFIG.world.days - 1
NOON = start_ts(CONFIG.world, LAST) + DAY_S / 2
STEPS = {
    "world": (write_history, ()),
    "features": (compute_tables, ("world",)),
    "materialize": (materialize, ("features",)),
    "sample": (write_samples, ("world", "features", "materialize")),
}


@dataclass(frozen=True)
class Built:
    root: Path
    settings: Settings
    facts: Mapping[str, Facts]
    train: Sample
    holdout: Sample

    @property
    def features(self) -> Path:
        return self.root / "features"


def run(root: Path, names: tuple[str, ...]) -> Mapping[str, Facts]:
    settings, facts = Settings(home=root / "home", preset="smoke"), {}
    for name in names:
        step, after = STEPS[name]
        (root / name).mkdir()
        inputs = {one: root / one for one in after}
        facts[name] = step(StepContext(DESIGN, settings, CONFIG, root / name, inputs, lambda share, text: None))
    return facts


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("eta")
    facts = run(root, tuple(STEPS))
    samples = (Sample.read(root / "sample" / name) for name in (TRAIN, HOLDOUT))
    return Built(root, Settings(home=root / "home", preset="smoke"), facts, *samples)


def rewrite(world: Path, folder: str, change: object) -> None:
    file = day_file(world / folder, start_ts(CONFIG.world, LAST))
    table = change(pq.read_table(file, partitioning=None))  # type: ignore[operator]
    pq.write_table(table, file)


@pytest.fixture(scope="module")
def other_future(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features of a world with other events after noon of the last day, and the same ones before."""
    root = tmp_path_factory.mktemp("eta_other")
    shutil.copytree(built.root / "world", root / "world")

    def slower(table: pa.Table) -> pa.Table:
        """Traversals that are known after noon take four times as long, whatever their departure."""
        departure = seconds(table["departure_ts"].to_numpy())
        enter, cs, late = (table[name].combine_chunks() for name in ("enter_s", "cs", "late_s"))
        owner = np.repeat(np.arange(len(table)), np.diff(enter.offsets.to_numpy()))
        spent = cs.flatten().to_numpy()
        known = departure[owner] + enter.flatten().to_numpy() + spent / 100 + late.to_numpy()[owner]
        later = np.where(known > NOON, np.minimum(spent.astype(np.int64) * 4, 60_000), spent).astype(np.uint16)
        lists = pa.ListArray.from_arrays(cs.offsets, pa.array(later))
        return table.set_column(table.schema.get_field_index("cs"), "cs", lists)

    def unfinished(table: pa.Table) -> pa.Table:
        """Trips that have not arrived by noon arrive twenty minutes later."""
        arrival = seconds(table["arrival_ts"].to_numpy())
        later = timestamps(np.where(arrival > NOON, arrival + 1_200, arrival))
        return table.set_column(table.schema.get_field_index("arrival_ts"), "arrival_ts", later)

    def more_incidents(table: pa.Table) -> pa.Table:
        """Incidents on the 200 busiest edges begin before noon and are reported right after it. Those that are cleared
        after noon stay an hour longer."""
        driven = read_traversals(built.root / "world", CONFIG.world, LAST).edge
        edge = np.argsort(-np.bincount(driven))[:200]
        n = len(edge)
        planted = {"incident_id": np.arange(n), "edge": edge, "begin_ts": np.full(n, NOON - 600)}
        planted |= {"reported_ts": np.full(n, NOON + 1), "cleared_ts": np.full(n, NOON + 7_200)}
        cleared = seconds(table["cleared_ts"].to_numpy())
        longer = timestamps(np.where(cleared > NOON, cleared + 3_600, cleared))
        table = table.set_column(table.schema.get_field_index("cleared_ts"), "cleared_ts", longer)
        return pa.concat_tables([table, table_of(INCIDENTS, planted)])

    for folder, change in (("traversals", slower), ("trips", unfinished), ("incidents", more_incidents)):
        rewrite(root / "world", folder, change)
    run(root, ("features",))
    return root / "features"


def test_events_of_the_future_move_no_input_of_a_trip(built: Built, other_future: Path) -> None:
    for day in (LAST - 1, LAST):
        one, other = (TripTable.read(trip_file(features, day)) for features in (built.features, other_future))
        past = one.departure_ts <= NOON
        assert past.any()
        for item in fields(RouteInputs):
            before, after = (getattr(table.route, item.name) for table in (one, other))
            np.testing.assert_array_equal(before[past], after[past], err_msg=item.name)
        for name in ("pick_up_s", "drop_off_s", "event", "rain", "hour"):
            np.testing.assert_array_equal(getattr(one, name)[past], getattr(other, name)[past], err_msg=name)
    later = ~past
    for name in ("live_s", "incidents", "city_residual"):
        moved = getattr(one.route, name)[later] != getattr(other.route, name)[later]
        assert moved.mean() > 0.1, f"{name} does not see what is known later"
    unfinished = (one.departure_ts <= NOON) & (one.arrival_ts > NOON)
    assert unfinished.any()
    assert not np.array_equal(one.seconds[unfinished], other.seconds[unfinished])


def test_places_know_no_trip_that_is_on_its_way_at_midnight(built: Built, tmp_path: Path) -> None:
    begins = start_ts(CONFIG.world, LAST)
    shutil.copytree(built.features / TRIPS, tmp_path / TRIPS)
    before = TripTable.read(trip_file(built.features, LAST - 1))
    on_the_way = before.arrival_ts >= begins
    assert on_the_way.any()
    graph, route_time = read_graph(built.root / "world"), RouteTime.read(built.features / ROUTE_TIME)
    for late, same in ((on_the_way, True), (~on_the_way, False)):
        replace(before, seconds=before.seconds + 5_000 * late * (before.arrival_ts > begins - 3_600)).write(
            trip_file(tmp_path, LAST - 1)
        )
        follow_places(tmp_path, CONFIG, graph, route_time)
        one, other = (TripTable.read(trip_file(features, LAST)) for features in (built.features, tmp_path))
        assert np.array_equal(one.pick_up_s, other.pick_up_s) == same


def test_events_of_the_future_move_no_speeds_and_no_driver(built: Built, other_future: Path) -> None:
    begin_ts = start_ts(CONFIG.world)
    one, other = (SpeedHistory.open(features, begin_ts) for features in (built.features, other_future))
    noon = int((NOON - begin_ts) / EVERY_S)
    np.testing.assert_array_equal(one.forecast[: noon + 1], other.forecast[: noon + 1])
    np.testing.assert_array_equal(one.observed[: noon + 1], other.observed[: noon + 1])
    assert np.abs(one.forecast[noon + 20] - other.forecast[noon + 20]).mean() > 0.05
    rows = [pq.read_table(features / f"{VIEW}.parquet") for features in (built.features, other_future)]
    tables = [table.to_pandas().sort_values(["driver_id", "feature_ts"], ignore_index=True) for table in rows]
    known = [table[table["feature_ts"].map(datetime.timestamp) <= NOON].reset_index(drop=True) for table in tables]
    assert known[0].equals(known[1])
    assert len(known[0]) > 100
    assert not tables[0].equals(tables[1])


def test_one_request_has_the_inputs_of_the_builds_row(built: Built) -> None:
    """A service knows files of the build, the newest speeds, open incidents and the row of the driver."""
    world = built.root / "world"
    graph, profile = read_graph(world), Profile.read(built.features / PROFILE)
    table = TripTable.read(trip_file(built.features, LAST))
    rows, trips = read_traversals(world, CONFIG.world, LAST), read_trips(world, CONFIG.world, range(LAST, LAST + 1))
    speeds = SpeedHistory.open(built.features, start_ts(CONFIG.world))
    incidents, events = read_incidents(world, CONFIG.world), read_calendar(world, CONFIG.world)
    at_ts, rain = read_weather(world, CONFIG.world)
    life_s = mean_life_s(incidents, start_ts(CONFIG.world, training_days(CONFIG)))
    store = open_store(built.root / "materialize", built.settings)
    of_day = built.holdout.take(built.holdout.day == LAST)
    compared = 0
    for trip in np.linspace(0, len(table) - 1, 60).astype(int).tolist():
        now = float(table.departure_ts[trip])
        edges = rows.edge[rows.owner == np.flatnonzero(rows.trip_id == table.trip_id[trip])[0]]
        number = int((now - start_ts(CONFIG.world)) // EVERY_S)
        made_ts = np.array([start_ts(CONFIG.world) + number * EVERY_S])
        wet = rain[np.searchsorted(at_ts, now, "right") - 1 :][:1]
        known = (incidents.reported_ts <= now) & (incidents.cleared_ts > now)
        open_incidents = KnownIncidents.of(incident_rows(incident_table(world, known)), life_s)
        snapshots = Snapshots(speeds.forecast[number : number + 1], speeds.observed[number : number + 1], made_ts)
        traffic = Traffic(snapshots, np.zeros(1, int), wet)
        departs, origin = np.array([now]), table.origin[trip : trip + 1]
        roads = Roads(graph, profile, CONFIG.features.live_horizon_min)
        event, event_min = event_inputs(graph, events, origin, departs)
        asked = TripInputs(
            route=route_inputs(roads, Routes.of([edges]), departs, traffic, open_incidents),
            hour=hour_of_week(departs, CONFIG.world.time_zone),
            rain=wet,
            pick_up_s=table.pick_up_s[trip : trip + 1],
            drop_off_s=table.drop_off_s[trip : trip + 1],
            event=event,
            event_min=event_min,
            ride_type=table.ride_type[trip : trip + 1],
            driver=driver_of(of_day, trip),
        )
        np.testing.assert_allclose(assemble(asked)[0], of_day.x[trip], rtol=2e-6, atol=1e-6)
        compared += int(known.sum() > 0)
    assert compared > 10, "some requests know of incidents"
    assert len(trips) > len(table), "cancelled trips have no row"
    newest = (
        pq.read_table(built.features / f"{VIEW}.parquet").to_pandas().sort_values("feature_ts").groupby("driver_id")
    )
    for driver, row in newest.last().head(20).iterrows():
        online = driver_from_row(store.read_online(int(str(driver))))
        assert online.is_known[0] == 1
        np.testing.assert_allclose([online.habit[0], online.trips[0]], [row["habit"], row["trips"]], rtol=1e-6)


def incident_table(world: Path, rows: Bools) -> pa.Table:
    files = [day_file(world / "incidents", start_ts(CONFIG.world, day)) for day in range(CONFIG.world.days)]
    whole = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
    order = np.argsort(seconds(whole["reported_ts"].to_numpy()), kind="stable")
    return whole.take(pa.array(order[rows]))


def driver_of(sample: Sample, trip: int) -> DriverFeatures:
    names = ("driver_known", "driver_habit", "driver_trips", "driver_lateness")
    return DriverFeatures(*(column(sample.x[trip : trip + 1], name) for name in names))


def test_the_driver_of_a_row_is_known_as_of_the_departure(built: Built) -> None:
    rows = pq.read_table(built.features / f"{VIEW}.parquet")
    table, at_s = rows.to_pandas(), seconds(rows["feature_ts"].to_numpy())
    for row in np.linspace(0, len(built.holdout) - 1, 50).astype(int).tolist():
        before = (table["driver_id"] == built.holdout.driver_id[row]) & (at_s <= built.holdout.departure_ts[row])
        habit = column(built.holdout.x[row : row + 1], "driver_habit")[0]
        assert before.any() == (column(built.holdout.x[row : row + 1], "driver_known")[0] == 1)
        if before.any():
            newest = table[before].iloc[int(at_s[before].argmax())]
            assert habit == pytest.approx(newest["habit"], abs=1e-6)


def test_a_sample_has_every_arrived_trip_once_with_its_label(built: Built) -> None:
    trips = read_trips(built.root / "world", CONFIG.world, range(CONFIG.world.days))
    trips = trips.take(trips.is_arrived)
    both = Sample.joined([built.train, built.holdout])
    missing = np.setdiff1d(trips.trip_id, both.trip_id)
    begins = start_ts(CONFIG.world, training_days(CONFIG))
    late = trips.arrival_ts[np.isin(trips.trip_id, missing)]
    assert np.all((late > begins) & (late < begins + 2 * 3600)), "only trips on the way when the holdout begins"
    assert len(np.unique(both.trip_id)) == len(both)
    place = np.searchsorted(trips.trip_id, both.trip_id)
    np.testing.assert_allclose(both.seconds, (trips.arrival_ts - trips.request_ts)[place])
    np.testing.assert_array_equal(both.is_explore, trips.is_explore[place])
    assert built.holdout.day.min() == training_days(CONFIG)
    assert built.train.day.max() < built.holdout.day.min()
    assert np.isfinite(both.x).all()
    assert both.x.shape[1] == len(NAMES)
    np.testing.assert_allclose(column(both.x, "live_s"), both.base_s, rtol=1e-6)
    np.testing.assert_allclose(column(both.x, "profile_s"), both.static_s, rtol=1e-6)


def test_some_trips_would_leave_the_driven_path_at_live_speeds(built: Built) -> None:
    share, saves = (float(built.facts["sample"][name]) for name in ("rerouted_share", "rerouted_saves"))
    assert 0.05 < share < 0.95
    assert 0 < saves < 0.2, "a path that is fastest now is no slower than the driven one"


def test_trips_that_have_arrived_within_half_an_hour_are_short(built: Built) -> None:
    arrived = replace(CONFIG, sample=replace(CONFIG.sample, label_cut="arrived"))
    kept = has_label(arrived, built.train)
    assert 0.2 < kept.mean() < 0.8
    assert built.train.seconds[kept].mean() < 0.95 * built.train.seconds.mean()
    assert has_label(CONFIG, built.train).all()


@pytest.fixture(scope="module")
def planted() -> tuple[Array, Array]:
    """(true residual log pace float64[steps, groups], usual traffic float64[groups, SLOTS]) of the world."""
    world = make_world(CONFIG.world)
    before, residual = first_state(world), []
    for day in range(CONFIG.world.days):
        state, before = draw_day(world, day, before)
        residual.append(state.swing[:, None] * state.z)
    at_peak = rush((np.arange(SLOTS, dtype=np.float64) + 0.5) * SLOT_H)
    group = np.arange(GROUPS)[:, None]
    usual = world.traffic.expected(np.broadcast_to(at_peak, (GROUPS, SLOTS)), np.zeros((GROUPS, SLOTS)), group)
    return np.concatenate(residual), usual


def test_the_profile_recovers_the_usual_traffic_of_the_hours(built: Built, planted: tuple[Array, Array]) -> None:
    found, usual = Profile.read(built.features / PROFILE), planted[1]
    workday = slice(0, 5 * 24 * 12)
    assert np.corrcoef(found.usual[:, workday].ravel(), usual[:, workday].ravel())[0, 1] > 0.75
    assert np.sqrt(((found.usual - usual)[:, workday] ** 2).mean()) < 0.12
    assert found.probe_sd == pytest.approx(CONFIG.world.traffic.probe_noise, rel=0.05)


def test_the_forecast_beats_the_profile_and_its_advantage_fades(built: Built, planted: tuple[Array, Array]) -> None:
    speeds, residual = SpeedHistory.open(built.features, start_ts(CONFIG.world)), planted[0]
    steps = np.arange(training_days(CONFIG) * 288, CONFIG.world.days * 288 - 12)
    share = []
    for number, minutes in enumerate(HORIZONS_MIN):
        target = residual[steps + minutes // 5 - 1]
        guess = speeds.forecast[steps * int(300 / EVERY_S), :, number]
        share.append(1 - ((target - guess) ** 2).sum() / (target**2).sum())
    assert min(share[:3]) > 0.15, "better than the profile for the next 15 minutes"
    assert share[0] > share[2] > share[4] > share[-1] - 0.02
    assert share[-1] < 0.15


def test_drivers_and_places_correlate_with_planted_habits_and_overheads(built: Built) -> None:
    world = make_world(CONFIG.world)
    rows = pq.read_table(built.features / f"{VIEW}.parquet").to_pandas().sort_values("feature_ts")
    habit = rows.groupby("driver_id")["habit"].last()
    assert np.corrcoef(habit, world.habit[habit.index.to_numpy()])[0, 1] > 0.5
    places = Places.read(built.features / PLACES)
    for found, weight, planted in (
        (places.pick_up_s, places.origin_weight, world.places.pick_up),
        (places.drop_off_s, places.destination_weight, world.places.drop_off),
    ):
        seen = weight > np.quantile(weight, 0.5)
        assert np.corrcoef(found[seen], np.exp(planted)[seen])[0, 1] > 0.3
