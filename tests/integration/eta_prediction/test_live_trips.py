"""The next build learns from planted live trips: a slow place, a slow driver, and the trips of the sample.

The steps world to sample run twice in a temporary directory, without a live log and with one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.design import DESIGN
from eta_prediction.domain import NONE, Ints
from eta_prediction.events.codec import INPUTS, inputs_of, pack
from eta_prediction.events.cuts import cut_of, live_root
from eta_prediction.events.history import read_graph
from eta_prediction.events.live_history import cut_log, read_ended_trips
from eta_prediction.events.paths import QUOTES
from eta_prediction.events.schemas import Quote, Trip
from eta_prediction.features.driver_row import VIEW
from eta_prediction.features.places import Places
from eta_prediction.features.route_time import RouteTime
from eta_prediction.features.views import DRIVER, driver_from_row, open_store
from eta_prediction.items.city import DEFINING
from eta_prediction.offline.feature_tables import PLACES, ROUTE_TIME, compute_tables
from eta_prediction.offline.generate import write_history
from eta_prediction.offline.live_trips import definition, read_live_trips
from eta_prediction.offline.samples import FRESH, HELD_OUT, HOLDOUT, TRAIN, Sample, materialize, write_samples
from eta_prediction.worker.driver_log import DriverLog, read_finished
from eta_prediction.worker.refresh import read_quotes
from infra.build.runner import Facts, StepContext
from infra.errors import LabError
from infra.live.kept_log import read_until
from infra.settings import Settings
from infra.simulation.streams import end_ts
from tests.support.eta_events import quote, trip
from tests.unit.eta_prediction.events.test_live_history import write

CONFIG = replace(SMOKE, world=replace(SMOKE.world, trips_per_day=400, days=4))
END = end_ts(CONFIG.world)
FIRST, AFTER_CUT = 1 << 40, 1 << 41
"""numbers of live trips, and of those whose events are received after the cut"""
SLOW_S = 900.0
"""what trips from the slow place and of the slow driver take longer than the corrected route says"""
STEPS = {
    "features": (compute_tables, ("world", "live")),
    "materialize": (materialize, ("live", "features")),
    "sample": (write_samples, ("world", "live", "features", "materialize")),
}


@dataclass(frozen=True)
class Built:
    root: Path
    settings: Settings
    facts: Mapping[str, Facts]

    def sample(self, name: str) -> Sample:
        return Sample.read(self.root / "sample" / name)

    @property
    def places(self) -> Places:
        return Places.read(self.root / "features" / PLACES)


def build_of(root: Path, world: Path, cut: str) -> Built:
    """The steps from `live` on, with the outputs in `root`. The live log is in the home beside it."""
    settings, facts = Settings(home=root.parent / "home", preset="smoke"), {}
    for name, (step, after) in {"live": (cut_log, ()), **STEPS}.items():
        (root / name).mkdir(parents=True)
        inputs = {one: world if one == "world" else root / one for one in after}
        context = StepContext(DESIGN, settings, CONFIG, root / name, inputs, lambda share, text: None, cut=cut)
        facts[name] = step(context)
    return Built(root, settings, facts)


@dataclass(frozen=True)
class Planted:
    """`place` is a node of the slow place, `usual_place` one of another cell; `slow` and `usual` are drivers."""

    world: Path
    before: Built
    after: Built
    place: int
    usual_place: int
    slow: int
    usual: int
    quotes: list[Quote]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = tmp_path_factory.mktemp("eta_live")
    world = root / "world"
    world.mkdir()
    settings = Settings(home=root / "home", preset="smoke")
    write_history(StepContext(DESIGN, settings, CONFIG, world, {}, lambda share, text: None))
    before = build_of(root / "before", world, cut_of(settings))
    graph, rows = read_graph(world), before.sample(HOLDOUT)
    driver = np.argsort(-np.bincount(rows.driver_id[rows.driver_id >= 0]))
    place = int(rows.origin[0])
    others = np.flatnonzero(graph.cell[rows.origin] != graph.cell[place])
    usual_place = int(rows.origin[others[0]])
    slow, usual = int(driver[0]), int(driver[1])
    digest = definition(world, before.root / "features", CONFIG)
    quotes, trips = events_of(rows, others, digest, place, usual_place, slow, usual)
    late = [replace(one, quote_id=one.quote_id + AFTER_CUT) for one in quotes]
    live = live_root(settings)
    write(live, quotes, trips, trips[:5])
    cut = cut_of(settings)
    write(live, late, [replace(one, quote_id=one.quote_id + AFTER_CUT) for one in trips])
    after = build_of(root / "after", world, cut)
    return Planted(world, before, after, place, usual_place, slow, usual, quotes)


def events_of(
    rows: Sample, others: Ints, digest: str, place: int, usual_place: int, slow: int, usual: int
) -> tuple[list[Quote], list[Trip]]:
    """80 trips with inputs of the history: 20 from the slow place, 20 of the slow driver, 20 that take their time at
    the corrected route; 20 cancelled ones."""
    quotes: list[Quote] = []
    trips: list[Trip] = []
    for number in range(80):
        row, kind = int(others[number]), number // 20
        origin, driver = (place if kind == 0 else usual_place), (slow if kind == 1 else usual if kind == 2 else NONE)
        at_ts, x = END + 30.0 + number, rows.x[row : row + 1].copy()
        seconds = float(rows.base_s[row]) * 1.3 + 120 + SLOW_S * (kind < 2)
        same = {"origin": origin, "destination": int(rows.destination[row]), "driver_id": driver}
        quotes.append(
            quote(FIRST + number, request_ts=at_ts, departure_ts=at_ts, x=pack(x, INPUTS), inputs_digest=digest, **same)
        )
        end = {"status": "cancelled", "at_ts": at_ts + 5} if kind == 3 else {"at_ts": at_ts + seconds}
        trips.append(trip(FIRST + number, request_ts=at_ts, served_driver_id=driver, **same, **end))
    return quotes, trips


def test_facts_count_live_trips_and_those_left_out(planted: Planted) -> None:
    assert planted.before.facts["features"]["live_trips"] == planted.before.facts["sample"]["live_trips"] == 0
    facts = planted.after.facts["features"]
    assert facts["live_trips"] == 60
    before, after = (dict(built.facts["sample"]) for built in both(planted).values())
    assert (after["live_trips"], after["fresh_trips"]) == (54, 6)
    assert after["train_trips"] == int(before["train_trips"]) + 54
    skipped = {name: value for name, value in facts.items() if name.startswith("live_skipped_")}
    assert skipped == {"live_skipped_cancelled": 20, "live_skipped_repeated": 5}


def test_live_trips_join_the_training_trips_as_served_and_leave_the_others_alone(planted: Planted) -> None:
    before, after = planted.before.sample(TRAIN), planted.after.sample(TRAIN)
    live = after.take(np.arange(len(before), len(after)))
    for name, values in vars(before).items():
        np.testing.assert_array_equal(values, getattr(after, name)[: len(before)], err_msg=name)
    fresh = planted.after.sample(FRESH)
    numbers = [number for number in range(60) if (FIRST + number) % HELD_OUT]
    order = np.argsort(live.trip_id)
    assert live.trip_id[order].tolist() == [FIRST + number for number in numbers]
    assert sorted(fresh.trip_id.tolist()) == [FIRST + number for number in range(60) if number not in numbers]
    np.testing.assert_array_equal(live.x[order], np.concatenate([inputs_of(planted.quotes[n].x) for n in numbers]))
    assert set(live.day.tolist()) == {CONFIG.world.days}
    assert live.seconds[order][: sum(number < 40 for number in numbers)].min() > SLOW_S
    same = (planted.before.root / "sample" / HOLDOUT, planted.after.root / "sample" / HOLDOUT)
    assert same[0].read_bytes() == same[1].read_bytes(), "the gate compares models on the same trips"


def test_live_trips_move_their_place_and_driver_alone(planted: Planted) -> None:
    graph, before, after = read_graph(planted.world), planted.before.places, planted.after.places
    place, usual_place = graph.cell[[planted.place, planted.usual_place]]
    moved = after.pick_up_s - before.pick_up_s
    assert moved[place] > 150
    untouched = np.delete(moved, [place, usual_place])
    np.testing.assert_array_equal(untouched, np.zeros(len(untouched)))
    rows = {name: newest(built, (planted.slow, planted.usual)) for name, built in both(planted).items()}
    assert rows["after"]["habit"][planted.slow] > rows["before"]["habit"][planted.slow] + 0.03
    assert rows["after"]["trips"][planted.slow] == rows["before"]["trips"][planted.slow] + 20
    change = rows["after"]["habit"] - rows["before"]["habit"]
    assert change[planted.slow] > change[planted.usual] + 0.03
    store = open_store(planted.after.root / "materialize", planted.after.settings)
    online = driver_from_row(store.read_online(planted.slow))
    assert online.habit[0] == pytest.approx(rows["after"]["habit"][planted.slow])


def both(planted: Planted) -> dict[str, Built]:
    return {"before": planted.before, "after": planted.after}


def newest(built: Built, drivers: tuple[int, ...]) -> pd.DataFrame:
    """The newest rows of drivers, by driver."""
    table = pq.read_table(built.root / "features" / f"{VIEW}.parquet").to_pandas().sort_values("feature_ts")
    return table.groupby("driver_id").last().loc[list(drivers)]


def test_the_rows_of_drivers_equal_those_of_the_worker(planted: Planted) -> None:
    features, live = planted.after.root / "features", planted.after.root / "live"
    route_time = RouteTime.read(features / ROUTE_TIME)
    log = DriverLog(route_time, read_finished(features, route_time))
    log.add_ends(read_ended_trips(live))
    for quotes in read_quotes(live):
        log.add_quotes(quotes)
    drivers = (planted.slow, planted.usual)
    rows = log.rows(CONFIG.features, read_until(live), np.array(drivers)).set_index("driver_id")
    for name in DRIVER:
        np.testing.assert_allclose(rows[name], newest(planted.after, drivers)[name], rtol=1e-5, err_msg=name)


def test_live_trips_leave_the_definition_of_the_inputs_alone(planted: Planted) -> None:
    names = [*DEFINING[1:], ROUTE_TIME, *(f"trips/{day}.npz" for day in range(CONFIG.world.days))]
    for name in names:
        one, other = (built.root / "features" / name for built in both(planted).values())
        assert one.read_bytes() == other.read_bytes(), name


def test_a_damaged_file_of_quotes_ends_the_build(planted: Planted, tmp_path: Path) -> None:
    shutil.copytree(planted.after.root / "live", tmp_path / "live")
    next((tmp_path / "live" / QUOTES).rglob("*.parquet")).write_bytes(b"no parquet")
    with pytest.raises(LabError, match="live log"):
        read_live_trips(tmp_path / "live", planted.world, planted.after.root / "features", CONFIG)
