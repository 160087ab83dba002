"""Step `world`: generate the city and write what its services would have logged, day by day.

The output has facts only that a production system has: the map, requests with quotes and ends, uploads of vehicles,
reported incidents, weather and the calendar of public events, which also announces the next weeks. Congestion, queues
and habits are not written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from eta_prediction.config import EtaConfig, WorldConfig
from eta_prediction.domain import ARRIVED, CANCELLED, EXPLORE_POLICY, PROFILE_POLICY, Array, Bools
from eta_prediction.events.history import ANNOUNCED_DAYS, GRAPH, write_graph
from eta_prediction.events.tables import CALENDAR, INCIDENTS, TRAVERSALS, TRIPS, WEATHER, table_of
from eta_prediction.world.city_day import CityDay, draw_city_day
from eta_prediction.world.public_events import draw_events
from eta_prediction.world.traffic.city_state import draw_day, first_state
from eta_prediction.world.truth import World, make_world
from infra.build.processes import cores, spread
from infra.build.runner import Facts, StepContext
from infra.columns import ragged
from infra.routing.choose import find_order, open_engine
from infra.simulation.days import day_file, write_day
from infra.simulation.streams import end_ts, start_ts

MOST_A_DAY = 10_000_000
"""trips of one day have the numbers from day × MOST_A_DAY on"""
LEAST_SPREAD = 50_000
"""fewest trips of a history for which starting processes takes less time than it saves"""


def write_history(context: StepContext) -> Facts:
    """Write `graph.npz`, and one file a day of trips, traversals, incidents, weather and calendar."""
    config: EtaConfig = context.config
    world, days = make_world(config.world), config.world.days
    write_graph(context.out / GRAPH, world.graph)
    processes = cores() if days * config.world.trips_per_day >= LEAST_SPREAD else 1
    trips = write_log(
        world, context.out, lambda day, n: context.report((day + 1) / days, f"day {day + 1}: {n:,} trips"), processes
    )
    return {"trips": sum(trips), "edges": world.graph.edges, "world_now": end_ts(config.world)}


def write_log(world: World, out: Path, report: Callable[[int, int], None], processes: int = 1) -> list[int]:
    """Write the missing days; returns the trips that each one has. Existing days are not changed.

    Days depend on each other by `DayEnd` alone, which is drawn in milliseconds. `processes` thus write days side by
    side, and the files do not depend on their number.
    """
    announce_events(world, out)
    days = range(world.config.days)
    missing = [day for day in days if not _done_file(out, day).exists()]
    for day, count in zip(missing, spread(partial(DayWriter, world.config, out), missing, processes), strict=True):
        report(day, count)
    return [int(_done_file(out, day).read_text()) for day in days]


class DayWriter:
    """Writes single days of the log in any order."""

    def __init__(self, config: WorldConfig, out: Path) -> None:
        self._world, self._out = make_world(config), out
        graph = self._world.graph
        self._engine = open_engine(graph.topology, find_order(graph.topology), graph.free_s)
        self._ends = [first_state(self._world)]
        """the state before each day that was passed so far"""

    def __call__(self, day: int) -> int:
        """Write the files of `day` and return the number of its trips."""
        while len(self._ends) <= day:
            self._ends.append(draw_day(self._world, len(self._ends) - 1, self._ends[-1])[1])
        found, _ = draw_city_day(self._world, self._engine, day, self._ends[day])
        for name, table in tables_of(self._world, day, found).items():
            write_day(day_file(self._out / name, start_ts(self._world.config, day)), table)
        done = _done_file(self._out, day)
        done.parent.mkdir(exist_ok=True)
        done.write_text(str(len(found.time_s)))
        return len(found.time_s)


def _done_file(out: Path, day: int) -> Path:
    """A file with the number of trips of a day. It exists if all files of the day are written."""
    return out / "done" / f"{day}"


def announce_events(world: World, out: Path) -> None:
    """Write the calendar of the days after the history."""
    config = world.config
    for day in range(config.days, config.days + ANNOUNCED_DAYS):
        table = table_of(CALENDAR, vars(draw_events(config, world.graph, day)))
        write_day(day_file(out / "calendar", start_ts(config, day)), table)


def tables_of(world: World, day: int, found: CityDay) -> dict[str, pa.Table]:
    """The day's part of each table of the log."""
    demand, state, config = found.planned.demand, found.state, world.config
    trip_id = day * MOST_A_DAY + np.arange(len(demand))
    arrives = ~found.is_cancelled
    begin_ts = start_ts(config, day)
    return {
        "trips": table_of(
            TRIPS,
            {
                "trip_id": trip_id,
                "request_ts": demand.at_ts,
                "origin": demand.origin,
                "destination": demand.destination,
                "ride_type": demand.ride_type,
                "driver_id": demand.driver,
                "served_driver_id": found.served,
                "quoted_s": found.quotes.seconds,
                "policy": np.where(found.quotes.is_explore, EXPLORE_POLICY, PROFILE_POLICY),
                "propensity": found.quotes.propensity,
                "outcome": np.where(arrives, ARRIVED, CANCELLED),
                "reason": np.where(arrives, "", "quote"),
                "arrival_ts": np.where(arrives, demand.at_ts + found.time_s, np.nan),
            },
        ),
        "traversals": _traversals(found, trip_id, arrives),
        "incidents": _incidents(found, begin_ts),
        "weather": table_of(
            WEATHER,
            {"at_ts": begin_ts + np.arange(len(state.rain)) * config.traffic.step_s, "rain": state.rain},
        ),
        "calendar": table_of(CALENDAR, vars(found.events)),
    }


def _traversals(found: CityDay, trip_id: npt.NDArray[np.int64], arrives: Bools) -> pa.Table:
    routes, demand = found.planned.routes, found.planned.demand
    kept = arrives[routes.owner]
    count = np.bincount(routes.owner[kept], minlength=routes.trips)[arrives]
    enter_s = found.planned.reach_ts - demand.at_ts[routes.owner]
    hundredths = np.clip(np.rint(found.edge_s * 100), 1, 65_535)
    columns = (routes.edges.astype(np.int32), enter_s.astype(np.uint16), hundredths.astype(np.uint16))
    edges, enter, spent = (ragged(values[kept], count) for values in columns)
    return table_of(
        TRAVERSALS,
        {
            "trip_id": trip_id[arrives],
            "departure_ts": demand.at_ts[arrives],
            "late_s": found.late_s[arrives],
            "edges": edges,
            "enter_s": enter,
            "cs": spent,
        },
    )


def _incidents(found: CityDay, begin_ts: float) -> pa.Table:
    """The incidents that were reported on the day."""
    incidents = found.state.incidents
    rows = np.flatnonzero((incidents.reported_ts >= begin_ts) & (incidents.reported_ts < begin_ts + 86_400.0))
    begin: Array = incidents.begin_ts[rows]
    return table_of(
        INCIDENTS,
        {
            "incident_id": (begin * 1000).astype(np.int64) * 100 + rows % 100,
            "edge": incidents.edge[rows],
            "begin_ts": begin,
            "reported_ts": incidents.reported_ts[rows],
            "cleared_ts": incidents.end_ts[rows],
        },
    )
