"""The two consumers of a design's worker: one appends events to the log, the other refreshes the features.

Each consumer has its own consumer group, so that a slow refresh does not delay the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from infra.live.clock import CLOCK_FILE, SharedClock
from infra.registry.release import read_release
from infra.stream.consumer import ConsumerLimits, Effect, EventConsumer
from infra.stream.event import Codec
from infra.stream.sink import ParquetSink, Table
from infra.stream.worker import WorkerContext

FLUSH_S, FLUSH_EVENTS = 5.0, 5_000


def world_clock(root: Path, live: Path, end_of_log: Callable[[Path], float]) -> SharedClock:
    """The clock of the design in `root`. It starts at or after the end of the release's log and of the live log.

    Raises `UsageError` if the design has no release.
    """
    return SharedClock(live / CLOCK_FILE, max(read_release(root).world_now, end_of_log(live)))


def log_and_features(
    context: WorkerContext,
    live: Path,
    clock: SharedClock,
    tables: Mapping[str, tuple[Codec, Table]],
    watched: Mapping[str, Codec],
    features: Effect,
    dead_letters: str,
) -> tuple[EventConsumer, EventConsumer]:
    """Build the log consumer and the feature consumer.

    `tables` maps each logged topic to its codec and table. The effect `features` receives the events of `watched`.
    """
    sink = ParquetSink(live, {topic: table for topic, (_, table) in tables.items()}, clock.now)
    logged = {topic: codec for topic, (codec, _) in tables.items()}
    letters, limits, name = (context.producer, dead_letters), ConsumerLimits(), context.design.name
    slow = replace(limits, linger_s=FLUSH_S, batch=FLUSH_EVENTS)
    return (
        EventConsumer(context.find, f"{name}.sink", logged, sink, context.metrics, letters, clock.now, slow),
        EventConsumer(context.find, f"{name}.features", watched, features, context.metrics, letters, clock.now, limits),
    )
