"""One loaded release of ride ETA: creates queries and runs the stages."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eta_prediction.config import EtaConfig
from eta_prediction.domain import NONE
from eta_prediction.items.city import City
from eta_prediction.items.live_roads import LiveRoads
from eta_prediction.model.artifact import Bundle
from eta_prediction.online.api.departure import departure_ts
from eta_prediction.online.pipeline import EtaPipeline
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.snap import Place
from infra.design import stage_with_knobs
from infra.live.clock import WorldClock
from infra.pipeline.trace import Trace
from infra.resilience.deadline import Deadline


@dataclass(frozen=True)
class EtaService:
    """One loaded release. A new release gets a new service. Only the state of its roads changes."""

    pipeline: EtaPipeline
    city: City
    live: LiveRoads
    bundle: Bundle
    config: EtaConfig
    clock: WorldClock
    model_version: str

    def query(
        self,
        ride_type: int,
        knobs: Mapping[str, Any],
        *,
        driver_id: int | None = None,
        departure: str | None = None,
        routes: int = 1,
        seed: int | None = None,
        at_ts: float | None = None,
    ) -> EtaQuery:
        """Create a query. The request's `knobs` override the configured ones. If `seed` is None, a random one is drawn.

        Raises `UsageError` for a departure that is no time, has passed, or is too far ahead.
        """
        drawn = secrets.randbits(53 + 48)  # one system call for seed and id
        now_ts, config = self.clock.now() if at_ts is None else at_ts, self.config
        route = stage_with_knobs(config.route, knobs)
        return EtaQuery(
            quote_id=drawn & (1 << 48) - 1,
            seed=drawn >> 48 if seed is None else seed,
            request_ts=now_ts,
            departure_ts=departure_ts(departure, now_ts, self.city.profile.time_zone, route.farthest_h),
            ride_type=ride_type,
            driver_id=NONE if driver_id is None else driver_id,
            most_routes=routes,
            deadline=Deadline.after_ms(config.serve.deadline_ms),
            route=route,
            predict=stage_with_knobs(config.predict, knobs),
            quote=stage_with_knobs(config.quote, knobs),
            knobs=knobs,
            state=self.live.state,
            is_live=False,
        )

    async def answer_soon(self, query: EtaQuery, origin: Place, destination: Place) -> tuple[EtaQuery, Trace]:
        """Answer a query in an event loop: await the driver's row, then run the stages in the loop's thread. They take
        less time than a switch to another thread and back."""
        query.deadline.check("the pipeline")
        trace = Trace()
        query = await self.pipeline.driver.read_before(query, trace)
        return self.pipeline.run(query, origin, destination, trace), trace

    def answer(self, query: EtaQuery, origin: Place, destination: Place) -> tuple[EtaQuery, Trace]:
        trace = Trace()
        return self.pipeline.run(query, origin, destination, trace), trace
