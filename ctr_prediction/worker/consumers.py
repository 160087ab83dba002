"""The ads' consumers: one writes the log, one refreshes the features. Each has its own consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctr_prediction.events.paths import CLICKS, LIVE, PREDICTIONS, SHOWN, end_of_log
from ctr_prediction.events.schemas import TOPICS, Auction, Click, Impression
from ctr_prediction.events.tables import auction_rows, click_rows, shown_rows
from ctr_prediction.items.live_counts import FILE
from ctr_prediction.worker.metrics import OnlineMetrics
from ctr_prediction.worker.refresh import FeatureEffect
from infra.stream.consumer import EventConsumer
from infra.stream.consumer_set import log_and_features, world_clock
from infra.stream.event import Codec
from infra.stream.sink import Table
from infra.stream.worker import WorkerContext

AUCTIONS_KEPT = 2e9
"""size limit of the auction log in bytes: about 200,000 auctions"""


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
        TOPICS.impressions: (Codec.of(Impression), Table(SHOWN, shown_rows, "impression_id")),
        TOPICS.clicks: (Codec.of(Click), Table(CLICKS, click_rows, "impression_id")),
        TOPICS.auctions: (Codec.of(Auction), Table(PREDICTIONS, auction_rows, "auction_id", AUCTIONS_KEPT)),
    }


def watched() -> Mapping[str, Codec]:
    """Topic -> codec of the events that change features."""
    return {TOPICS.impressions: Codec.of(Impression), TOPICS.clicks: Codec.of(Click)}
