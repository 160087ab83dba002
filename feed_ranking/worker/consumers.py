"""The feed's consumers: one writes the log, one refreshes the features. Each is a consumer group of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from feed_ranking.events.paths import LIVE, LOG, POSTS, PREDICTIONS, end_of_log
from feed_ranking.events.schemas import TOPICS, Impression, PostPublished, Prediction, Reaction
from feed_ranking.events.tables import post_rows, prediction_rows, reaction_rows
from feed_ranking.items.live_counts import FILE
from feed_ranking.worker.metrics import OnlineMetrics
from feed_ranking.worker.refresh import FeatureEffect
from infra.live.clock import SharedClock
from infra.registry.release import read_release
from infra.stream.consumer import ConsumerLimits, EventConsumer
from infra.stream.event import Codec
from infra.stream.sink import ParquetSink, Table
from infra.stream.worker import WorkerContext

FLUSH_S, FLUSH_EVENTS = 5.0, 5_000
PREDICTIONS_KEPT = 2e9
"""bytes: about 60,000 requests, three hours of `lab live --rate 5`"""


def make_consumers(context: WorkerContext) -> Sequence[EventConsumer]:
    """The consumers of the served release. Raises `UsageError` if there is no release."""
    root = context.settings.design_root(context.design.name)
    live = root / LIVE
    clock = SharedClock(live / "clock.json", max(read_release(root).world_now, end_of_log(live)))
    posts, reactions = Codec.of(PostPublished), Codec.of(Reaction)
    sink = ParquetSink(
        live,
        {
            TOPICS.reactions: Table(LOG, reaction_rows, "event_id"),
            TOPICS.posts: Table(POSTS, post_rows, "post_id"),
            TOPICS.predictions: Table(PREDICTIONS, prediction_rows, "slate_id", PREDICTIONS_KEPT),
        },
        clock.now,
    )
    features = FeatureEffect(
        context.settings, root, live, live / FILE, context.config, clock, OnlineMetrics(context.registry)
    )
    letters = (context.producer, TOPICS.dead_letters)
    limits = ConsumerLimits()
    return (
        EventConsumer(
            context.find,
            "feed_ranking.sink",
            {TOPICS.reactions: reactions, TOPICS.posts: posts, TOPICS.predictions: Codec.of(Prediction)},
            sink,
            context.metrics,
            letters,
            clock.now,
            replace(limits, linger_s=FLUSH_S, batch=FLUSH_EVENTS),
        ),
        EventConsumer(
            context.find,
            "feed_ranking.features",
            {TOPICS.posts: posts, TOPICS.impressions: Codec.of(Impression), TOPICS.reactions: reactions},
            features,
            context.metrics,
            letters,
            clock.now,
            limits,
        ),
    )
