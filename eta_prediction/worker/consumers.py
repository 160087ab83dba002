"""The consumers of the rides: one writes the log, one refreshes the features. Each has its own consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eta_prediction.events.paths import INCIDENTS, LIVE, QUOTES, TRAVERSALS, TRIPS, WEATHER, end_of_log
from eta_prediction.events.rows import (
    incident_event_rows,
    quote_rows,
    traversal_event_rows,
    trip_event_rows,
    weather_event_rows,
)
from eta_prediction.events.schemas import TOPICS, Incident, Quote, Traversals, Trip, Weather
from eta_prediction.items.road_state import FILE
from eta_prediction.worker.metrics import OnlineMetrics
from eta_prediction.worker.refresh import FeatureEffect
from infra.stream.consumer import EventConsumer
from infra.stream.consumer_set import log_and_features, world_clock
from infra.stream.event import Codec
from infra.stream.sink import Table
from infra.stream.worker import WorkerContext

QUOTES_KEPT = 2e9
"""size limit of the log of quotes in bytes: about three million quotes. A build learns nothing from trips whose quotes
have been deleted."""


def make_consumers(context: WorkerContext) -> Sequence[EventConsumer]:
    """Create the consumers of the served release. Raises `UsageError` if there is no release."""
    root = context.settings.design_root(context.design.name)
    live = root / LIVE
    clock = world_clock(root, live, end_of_log)
    features = FeatureEffect(
        context.settings, root, live, live / FILE, context.config, clock, OnlineMetrics(context.registry),
        context.producer.offer,
    )  # fmt: skip
    return log_and_features(
        context,
        live,
        clock,
        tables=logged(),
        watched=watched(),
        features=features,
        dead_letters=TOPICS.dead_letters,
    )


def logged() -> Mapping[str, tuple[Codec, Table]]:
    """Topic -> codec and table of the live log."""
    return {
        TOPICS.quotes: (Codec.of(Quote), Table(QUOTES, quote_rows, "quote_id", QUOTES_KEPT)),
        TOPICS.trips: (Codec.of(Trip), Table(TRIPS, trip_event_rows, "event_id")),
        TOPICS.traversals: (Codec.of(Traversals), Table(TRAVERSALS, traversal_event_rows, "event_id")),
        TOPICS.incidents: (Codec.of(Incident), Table(INCIDENTS, incident_event_rows, "event_id")),
        TOPICS.weather: (Codec.of(Weather), Table(WEATHER, weather_event_rows, "event_id")),
    }


def watched() -> Mapping[str, Codec]:
    """Topic -> codec of the events that change features."""
    return {topic: codec for topic, (codec, _) in logged().items()}
