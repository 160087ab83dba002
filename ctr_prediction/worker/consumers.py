"""The ads' consumers: one writes the log, one refreshes the features. Each is a consumer group of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ctr_prediction.events.paths import CLICKS, LIVE, PREDICTIONS, SHOWN, end_of_log
from ctr_prediction.events.schemas import TOPICS, Auction, Click, Impression
from ctr_prediction.events.tables import auction_rows, click_rows, shown_rows
from ctr_prediction.items.live_counts import FILE
from ctr_prediction.worker.metrics import OnlineMetrics
from ctr_prediction.worker.refresh import FeatureEffect
from infra.live.clock import SharedClock
from infra.registry.release import read_release
from infra.stream.consumer import ConsumerLimits, EventConsumer
from infra.stream.event import Codec
from infra.stream.sink import ParquetSink, Table
from infra.stream.worker import WorkerContext

FLUSH_S, FLUSH_EVENTS = 5.0, 5_000
AUCTIONS_KEPT = 2e9
"""bytes: about 200,000 auctions"""


def make_consumers(context: WorkerContext) -> Sequence[EventConsumer]:
    """The consumers of the served release. Raises `UsageError` if there is no release."""
    root = context.settings.design_root(context.design.name)
    live = root / LIVE
    clock = SharedClock(live / "clock.json", max(read_release(root).world_now, end_of_log(live)))
    shown, clicks = Codec.of(Impression), Codec.of(Click)
    sink = ParquetSink(
        live,
        {
            TOPICS.impressions: Table(SHOWN, shown_rows, "impression_id"),
            TOPICS.clicks: Table(CLICKS, click_rows, "impression_id"),
            TOPICS.auctions: Table(PREDICTIONS, auction_rows, "auction_id", AUCTIONS_KEPT),
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
            "ctr_prediction.sink",
            {TOPICS.impressions: shown, TOPICS.clicks: clicks, TOPICS.auctions: Codec.of(Auction)},
            sink,
            context.metrics,
            letters,
            clock.now,
            replace(limits, linger_s=FLUSH_S, batch=FLUSH_EVENTS),
        ),
        EventConsumer(
            context.find,
            "ctr_prediction.features",
            {TOPICS.impressions: shown, TOPICS.clicks: clicks},
            features,
            context.metrics,
            letters,
            clock.now,
            limits,
        ),
    )
