"""The feed's consumers: one writes the log, one refreshes the features. Each has its own consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from feed_ranking.events.paths import LIVE, LOG, POSTS, PREDICTIONS, end_of_log
from feed_ranking.events.schemas import TOPICS, Impression, PostPublished, Prediction, Reaction
from feed_ranking.events.tables import post_rows, prediction_rows, reaction_rows
from feed_ranking.items.live_counts import FILE
from feed_ranking.worker.metrics import OnlineMetrics
from feed_ranking.worker.refresh import FeatureEffect
from infra.stream.consumer import EventConsumer
from infra.stream.consumer_set import log_and_features, world_clock
from infra.stream.event import Codec
from infra.stream.sink import Table
from infra.stream.worker import WorkerContext

PREDICTIONS_KEPT = 2e9
"""size limit of the prediction log in bytes: about 60,000 requests, three hours of `lab live --rate 5`"""


def make_consumers(context: WorkerContext) -> Sequence[EventConsumer]:
    """Create the consumers of the served release. Raises `UsageError` if there is no release."""
    root = context.settings.design_root(context.design.name)
    live = root / LIVE
    clock = world_clock(root, live, end_of_log)
    features = FeatureEffect(
        context.settings, root, live, live / FILE, context.config, clock, OnlineMetrics(context.registry)
    )
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
        TOPICS.reactions: (Codec.of(Reaction), Table(LOG, reaction_rows, "event_id")),
        TOPICS.posts: (Codec.of(PostPublished), Table(POSTS, post_rows, "post_id")),
        TOPICS.predictions: (
            Codec.of(Prediction),
            Table(PREDICTIONS, prediction_rows, "slate_id", PREDICTIONS_KEPT),
        ),
    }


def watched() -> Mapping[str, Codec]:
    """Topic -> codec of the events that change features."""
    return {
        TOPICS.posts: Codec.of(PostPublished),
        TOPICS.impressions: Codec.of(Impression),
        TOPICS.reactions: Codec.of(Reaction),
    }
