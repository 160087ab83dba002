"""The ads and their worker in this process, for simulated traffic (`infra.evaluation.simulated`).

The cache of users is off: its lifetime is in seconds of the wall clock, in which the simulation makes hours pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from ctr_prediction.design import DESIGN
from ctr_prediction.domain import DEVICES
from ctr_prediction.events.paths import LIVE
from ctr_prediction.events.schemas import TOPICS, Click, Impression
from ctr_prediction.items.live_counts import FILE, LiveStats
from ctr_prediction.online.app import document
from ctr_prediction.online.bootstrap import CtrBootstrap
from ctr_prediction.online.cache import CacheMetrics
from ctr_prediction.online.log_entry import auction_of
from ctr_prediction.worker.consumers import logged, watched
from ctr_prediction.worker.metrics import OnlineMetrics
from ctr_prediction.worker.refresh import FeatureEffect
from infra.evaluation.simulated.parts import PATIENCE_MS, Answer, Named, SimulatedClock, patient_parts
from infra.registry.release import read_release
from infra.resilience.deadline import Deadline
from infra.settings import Settings
from infra.stream.event import Event


class CtrInProcess:
    """See `infra.evaluation.simulated.parts.InProcess`."""

    window, rate_per_s, round_s = 1500, 0.12, 200.0

    def __init__(self, settings: Settings, clock: SimulatedClock) -> None:
        root, config = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
        live, (shared, patient) = root / LIVE, patient_parts(settings, config, clock)
        patient = replace(patient, cache=replace(patient.cache, cache_ttl_s=0.0))
        self._bootstrap = CtrBootstrap(shared, patient, CacheMetrics(CollectorRegistry()))
        self._service = self._bootstrap.load(read_release(root))
        self._clock, self._stats = clock, live / FILE
        self.logged, self.watched = logged(), watched()
        metrics = OnlineMetrics(CollectorRegistry())
        self.features = FeatureEffect(settings, root, live, self._stats, config, clock, metrics)

    def answer(self, body: Mapping[str, Any], number: int, seed: int) -> tuple[Answer, Named]:
        context = body["context"]
        device = DEVICES.index(context["device"])
        query = self._service.query(
            body["user_id"], context["publisher_id"], device, body["slots"], body["knobs"], seed=seed
        )
        query = replace(query, auction_id=number, deadline=Deadline.after_ms(PATIENCE_MS))
        outcome = self._service.answer(query)
        found: Answer = orjson.loads(orjson.dumps(document(self._service, outcome, explain=False)))
        return found, (TOPICS.auctions, auction_of(self._service, outcome))

    def events(self, body: Mapping[str, Any]) -> Sequence[Named]:
        now = self._clock.now()
        found: list[Named] = [
            (TOPICS.impressions, Impression(**one, seen_ts=now)) for one in body.get("impressions", ())
        ]
        return found + [(TOPICS.clicks, Click(**one, label_ts=now)) for one in body.get("clicks", ())]

    def follow(self, events: Sequence[Event]) -> None:
        self._bootstrap.count(self._service, LiveStats.read(self._stats))
