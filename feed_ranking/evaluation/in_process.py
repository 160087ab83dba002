"""The feed and its worker in this process, for simulated traffic (`infra.evaluation.simulated`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from feed_ranking.design import DESIGN
from feed_ranking.events.paths import LIVE
from feed_ranking.events.schemas import TOPICS, Impression, PostPublished, Reaction
from feed_ranking.items.catalog import NewPost
from feed_ranking.items.live_counts import FILE, LiveStats
from feed_ranking.online.app import document
from feed_ranking.online.bootstrap import FeedBootstrap
from feed_ranking.online.log_entry import prediction_of
from feed_ranking.worker.consumers import logged, watched
from feed_ranking.worker.metrics import OnlineMetrics
from feed_ranking.worker.refresh import FeatureEffect
from infra.evaluation.simulated.parts import PATIENCE_MS, Answer, Named, SimulatedClock, patient_parts
from infra.registry.release import read_release
from infra.resilience.deadline import Deadline
from infra.settings import Settings
from infra.stream.event import Event


class FeedInProcess:
    """See `infra.evaluation.simulated.parts.InProcess`."""

    window, rate_per_s, round_s = 300, 5.0, 20.0

    def __init__(self, settings: Settings, clock: SimulatedClock) -> None:
        root, config = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
        live, shared_and_config = root / LIVE, patient_parts(settings, config, clock)
        self._bootstrap = FeedBootstrap(*shared_and_config)
        self._service = self._bootstrap.load(read_release(root))
        self._clock, self._stats = clock, live / FILE
        self.logged, self.watched = logged(), watched()
        metrics = OnlineMetrics(CollectorRegistry())
        self.features = FeatureEffect(settings, root, live, self._stats, config, clock, metrics)

    def answer(self, body: Mapping[str, Any], number: int, seed: int) -> tuple[Answer, Named]:
        query = self._service.query(body["user_id"], body["k"], body["seen"], body["knobs"], seed=seed)
        query = replace(query, slate_id=number, deadline=Deadline.after_ms(PATIENCE_MS))
        outcome = self._service.answer(query)
        found: Answer = orjson.loads(orjson.dumps(document(self._service, outcome, explain=False)))
        return found, (TOPICS.predictions, prediction_of(self._service, outcome))

    def events(self, body: Mapping[str, Any]) -> Sequence[Named]:
        now = self._clock.now()
        found: list[Named] = [(TOPICS.posts, PostPublished(**one, published_ts=now)) for one in body.get("posts", ())]
        found += [(TOPICS.impressions, Impression(**one, seen_ts=now)) for one in body.get("impressions", ())]
        return found + [
            (TOPICS.reactions, Reaction(**one, seen_ts=now, label_ts=now)) for one in body.get("reactions", ())
        ]

    def follow(self, events: Sequence[Event]) -> None:
        posts = [NewPost(**vars(event)) for event in events if isinstance(event, PostPublished)]
        if posts:
            self._bootstrap.publish([self._service], posts)
        self._bootstrap.count(self._service, LiveStats.read(self._stats))
