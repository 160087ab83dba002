"""Ride ETA and its worker in this process, for simulated traffic (`infra.evaluation.simulated`).

The cache of drivers is off: its lifetime is in seconds of the wall clock, in which the simulation makes hours pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from eta_prediction.design import DESIGN
from eta_prediction.domain import RIDE_TYPES
from eta_prediction.events.paths import LIVE
from eta_prediction.events.schemas import TOPICS
from eta_prediction.items.road_state import FILE, RoadState
from eta_prediction.online.api.document import document
from eta_prediction.online.api.event_api import EventsIn, ReportsIn, by_kind, published
from eta_prediction.online.bootstrap import EtaBootstrap
from eta_prediction.online.log_entry import quote_of
from eta_prediction.worker.consumers import logged, watched
from eta_prediction.worker.metrics import OnlineMetrics
from eta_prediction.worker.refresh import FeatureEffect
from infra.evaluation.simulated.parts import PATIENCE_MS, Answer, Named, SimulatedClock, patient_parts
from infra.registry.release import read_release
from infra.resilience.deadline import Deadline
from infra.settings import Settings
from infra.stream.event import Event

AT_ONCE = 200
"""reports of one request, as `lab live` sends them"""


class EtaInProcess:
    """See `infra.evaluation.simulated.parts.InProcess`."""

    window, rate_per_s, round_s = 500, 0.2, 60.0

    def __init__(self, settings: Settings, clock: SimulatedClock) -> None:
        root, config = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
        live, (shared, patient) = root / LIVE, patient_parts(settings, config, clock)
        patient = replace(patient, serve=replace(patient.serve, cache_drivers=0))
        self._bootstrap = EtaBootstrap(shared, patient)
        self._service = self._bootstrap.load(read_release(root))
        self._clock, self._state = clock, live / FILE
        self.logged, self.watched = logged(), watched()
        metrics = OnlineMetrics(CollectorRegistry())
        self.features = FeatureEffect(settings, root, live, self._state, config, clock, metrics, _nobody)

    def answer(self, body: Mapping[str, Any], number: int, seed: int) -> tuple[Answer, Named]:
        query = self._service.query(
            RIDE_TYPES.index(body["ride_type"]), body["knobs"], driver_id=body["driver_id"], seed=seed
        ).but(quote_id=number, deadline=Deadline.after_ms(PATIENCE_MS))
        query, trace = self._service.answer(query, body["origin"]["node"], body["destination"]["node"])
        found: Answer = orjson.loads(orjson.dumps(document(self._service, query, trace, explain=False)))
        return found, (TOPICS.quotes, quote_of(self._service, query, trace.degraded))

    def events(self, body: Mapping[str, Any]) -> Sequence[Named]:
        now, reports = self._clock.now(), body.get("reports", ())
        if "reports" not in body:
            return published(EventsIn(**body), now)
        parts = [reports[first : first + AT_ONCE] for first in range(0, len(reports), AT_ONCE)]
        return [one for part in parts for one in published(by_kind(ReportsIn(reports=part)), now)]

    def follow(self, events: Sequence[Event]) -> None:
        if self._state.exists():
            self._bootstrap.follow(self._service, RoadState.read(self._state))


def _nobody(topic: str, make: Callable[[], Event]) -> None:
    """No consumer reads the topic of made speeds here."""
