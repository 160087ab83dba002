"""Data-quality checks of the log of ride ETA (`infra.data_quality.checks` explains the values).

One broken row of the generated history fails the build. Vehicles and apps send the live log, and its readers drop
duplicates, so a small share of unusable events is a warning.
"""

from __future__ import annotations

from eta_prediction.domain import (
    ARRIVED,
    CANCELLED,
    EXPLORE_POLICY,
    PROFILE_POLICY,
    RIDE_TYPES,
    RoadGraph,
)
from eta_prediction.events import rows, tables
from infra.data_quality.checks import (
    LogTable,
    Rule,
    Volume,
    columns_of,
    holds,
    in_range,
    label_delay,
    not_null,
    one_of,
    refers_to,
)

LIVE_TOLERATED = 0.05
"""share of unusable live events up to which a build goes on with a warning"""
LONGEST_TRIP_S = 12 * 3_600.0
"""In a city of 40 km, a ride through several jams takes up to five hours."""
LATEST_S = 86_400.0


def log_tables(graph: RoadGraph) -> tuple[LogTable, ...]:
    """The tables of the history and of the live log. Nodes and edges must be those of `graph`."""
    return (*_history(graph), *_live(graph))


def _in_graph(column: str, count: int, tolerated: float = 0.0) -> Rule:
    """The column is the number of one of `count` nodes or edges."""
    sql = f"{column} BETWEEN 0 AND {count - 1}"
    return Rule(f"{column} is in the road graph", "reference", sql, (column,), tolerated=tolerated)


def _trip_rules(graph: RoadGraph, tolerated: float = 0.0) -> tuple[Rule, ...]:
    nodes = len(graph.lon)
    return (
        not_null("trip_id", "request_ts", "policy", "outcome", tolerated=tolerated),
        _in_graph("origin", nodes, tolerated),
        _in_graph("destination", nodes, tolerated),
        one_of("ride_type", range(len(RIDE_TYPES)), tolerated=tolerated),
        in_range("quoted_s", 0.0, LONGEST_TRIP_S, tolerated=tolerated),
        in_range("propensity", 0.0, 1.0, tolerated=tolerated),
        label_delay("request_ts", "arrival_ts", LONGEST_TRIP_S, tolerated=tolerated),
        holds(
            "an arrived trip has an arrival",
            f"(outcome = '{ARRIVED}') = (arrival_ts IS NOT NULL)",
            "outcome",
            "arrival_ts",
            tolerated=tolerated,
        ),
    )


def _traversal_rules(graph: RoadGraph, tolerated: float = 0.0) -> tuple[Rule, ...]:
    edges = graph.edges
    return (
        not_null("trip_id", "departure_ts", "late_s", tolerated=tolerated),
        in_range("late_s", 0.0, LATEST_S, tolerated=tolerated),
        holds(
            "one time per edge", "len(edges) = len(enter_s) AND len(edges) = len(cs)", "trip_id", tolerated=tolerated
        ),
        Rule(
            "edges are in the road graph",
            "reference",
            f"len(edges) = 0 OR (list_min(edges) >= 0 AND list_max(edges) < {edges})",
            ("trip_id",),
            tolerated=tolerated,
        ),
    )


def _incident_rules(graph: RoadGraph, tolerated: float = 0.0) -> tuple[Rule, ...]:
    return (
        not_null("incident_id", "begin_ts", "reported_ts", tolerated=tolerated),
        _in_graph("edge", graph.edges, tolerated),
        label_delay("begin_ts", "reported_ts", LATEST_S, tolerated=tolerated),
    )


def _history(graph: RoadGraph) -> tuple[LogTable, ...]:
    return (
        LogTable(
            "trips",
            "world",
            "trips",
            columns_of(tables.TRIPS),
            key=("trip_id",),
            rules=(
                *_trip_rules(graph),
                one_of("policy", (PROFILE_POLICY, EXPLORE_POLICY)),
                one_of("outcome", (ARRIVED, CANCELLED)),
            ),
            volume=Volume(),
        ),
        LogTable(
            "traversals",
            "world",
            "traversals",
            columns_of(tables.TRAVERSALS),
            key=("trip_id",),
            rules=(*_traversal_rules(graph), refers_to("trip_id", "trips.trip_id")),
            volume=Volume(),
        ),
        LogTable(
            "incidents",
            "world",
            "incidents",
            columns_of(tables.INCIDENTS),
            key=("incident_id",),
            rules=(
                *_incident_rules(graph),
                holds("cleared after its beginning", "cleared_ts >= begin_ts", "begin_ts", "cleared_ts"),
            ),
            volume=Volume(low=0.2, high=5.0, warn_low=0.4, warn_high=2.5),
        ),
        LogTable(
            "weather",
            "world",
            "weather",
            columns_of(tables.WEATHER),
            key=("at_ts",),
            rules=(not_null("at_ts", "rain"), in_range("rain", 0.0, 1.0)),
            volume=Volume(low=0.9, high=1.1, warn_low=0.9, warn_high=1.1),
        ),
        LogTable(
            "calendar",
            "world",
            "calendar",
            columns_of(tables.CALENDAR),
            rules=(
                _in_graph("node", len(graph.lon)),
                holds("begins before its end", "begin_ts < end_ts", "begin_ts", "end_ts"),
            ),
        ),
    )


def _live(graph: RoadGraph) -> tuple[LogTable, ...]:
    some = LIVE_TOLERATED
    return (
        LogTable(
            "live_trips",
            "live",
            "trips",
            columns_of(rows.LIVE_TRIPS),
            key=("event_id",),
            rules=(
                *_trip_rules(graph, some),
                holds("received after its event", "received_ts >= at_ts", "at_ts", "received_ts", tolerated=some),
            ),
            tolerated=some,
        ),
        LogTable(
            "live_traversals",
            "live",
            "traversals",
            columns_of(rows.LIVE_TRAVERSALS),
            key=("event_id",),
            rules=_traversal_rules(graph, some),
            tolerated=some,
        ),
        LogTable(
            "live_incidents",
            "live",
            "incidents",
            columns_of(rows.LIVE_INCIDENTS),
            key=("event_id",),
            rules=_incident_rules(graph, some),
            tolerated=some,
        ),
        LogTable(
            "live_weather",
            "live",
            "weather",
            columns_of(rows.LIVE_WEATHER),
            key=("event_id",),
            rules=(not_null("at_ts", "rain", tolerated=some), in_range("rain", 0.0, 1.0, tolerated=some)),
            tolerated=some,
        ),
    )
