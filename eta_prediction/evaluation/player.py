"""Runs the service in this process, without HTTP, for experiments that repeat the same rides.

For each ride it makes the state of the roads as the worker would have made it before the departure, from the reports
that were known by then.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.evaluation.rides.cases import PlayedQuote, Reported, Ride
from eta_prediction.items.city import City
from eta_prediction.items.road_state import RoadState
from eta_prediction.online.bootstrap import EtaBootstrap
from eta_prediction.online.service import EtaService
from eta_prediction.worker.append_log import TrafficLog
from infra.evaluation.experiment import Play
from infra.faults.switch import FaultSwitch
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.serving.shared import SharedParts
from infra.settings import Settings

PATIENCE_MS = 60_000.0
"""deadline of a request in an experiment; long, because experiments also measure slow settings"""


class EtaPlayer:
    """Answers rides with one release, in one thread. No driver stays in the cache, so a fault of the feature store
    affects every ride."""

    def __init__(self, release: Path, config: EtaConfig, settings: Settings) -> None:
        self.faults = FaultSwitch()
        breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
        patient = replace(config, serve=replace(config.serve, feature_timeout_ms=PATIENCE_MS, cache_drivers=0))
        shared = SharedParts(settings, breaker, Bulkhead("feature_store", workers=1, queue=1), self.faults)
        self.service: EtaService = EtaBootstrap(shared, patient).load(Release.read(release))
        self._day: PlayedDay | None = None

    def play(self, case: Any, knobs: Mapping[str, Any], without: Collection[str] = ()) -> Play:
        """A quote for a ride at its departure. The seed is the number of the ride, so all settings receive the same
        request."""
        self._follow(case)
        query = self.service.query(
            case.ride_type, knobs, driver_id=case.driver_id, seed=case.number, at_ts=case.at_ts
        ).but(deadline=Deadline.after_ms(PATIENCE_MS))
        for port in without:
            self.faults.inject(port, "down", 0.0)
        try:
            wall, cpu = time.perf_counter(), time.process_time()
            found, trace = self.service.answer(query, case.origin, case.destination)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            for port in without:
                self.faults.clear(port)
        played = PlayedQuote(found.routes[0].edges, found.quantiles, found.quoted_s)
        return Play(played, wall * 1000, cpu * 1000, trace.degraded)

    def _follow(self, ride: Ride) -> None:
        """Give the service the state of the roads that a worker would have made last before the ride."""
        city = self.service.city
        every_s = city.features.speeds_every_s
        made_ts = np.floor(ride.at_ts / every_s) * every_s
        if self._day is None or self._day.reported is not ride.reported or made_ts < self._day.made_ts:
            self._day = PlayedDay.begin(city, ride.reported)
        if made_ts > self._day.made_ts:
            self.service.live.apply(self._day.state(city, made_ts))


@dataclass
class PlayedDay:
    """The worker's traffic while a player follows the reports of a day. `taken` traversals are in `traffic`."""

    reported: Reported
    traffic: TrafficLog
    taken: int
    made_ts: float

    @classmethod
    def begin(cls, city: City, reported: Reported) -> PlayedDay:
        half_life_s = 60 * city.features.residual_half_life_min
        traffic = TrafficLog(
            city.graph, city.profile, half_life_s, reported.from_ts, reported.incidents, reported.weather
        )
        return cls(reported, traffic, 0, reported.from_ts)

    def state(self, city: City, at_ts: float) -> RoadState:
        """The state as of `at_ts`, which is not before the last one."""
        known = int(np.searchsorted(self.reported.driven.known_ts, at_ts, "right"))
        self.traffic.add_driven(self.reported.driven.take(np.arange(self.taken, known)))
        speeds = self.traffic.speeds(city.features, city.forecast, at_ts, snapshot_id=int(at_ts))
        self.taken, self.made_ts = known, at_ts
        return RoadState.of(speeds, self.traffic.incidents())
