"""The composition root of ride ETA: creates a service from a release and registers the faults of its ports."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from eta_prediction.config import EtaConfig
from eta_prediction.domain import STANDARD
from eta_prediction.features.views import open_store
from eta_prediction.items.city import open_city
from eta_prediction.items.live_roads import LiveRoads
from eta_prediction.items.road_state import RoadState
from eta_prediction.model.artifact import MODELS, load_bundle, load_intact_models
from eta_prediction.online.driver import DriverCache, DriverHydrator
from eta_prediction.online.forecast import RouteForecaster
from eta_prediction.online.pipeline import EtaPipeline
from eta_prediction.online.predict import QuantilePredictor
from eta_prediction.online.quote import Quoter
from eta_prediction.online.route import DownEngine, Router
from eta_prediction.online.service import EtaService
from eta_prediction.online.snap import PlaceFinder
from eta_prediction.online.traffic import DownFeed, StaleFeed, TrafficFeed
from infra.errors import CorruptArtifact, RoutingUnavailable
from infra.faults.catalogue import FEATURE_STORE, STREAM, Fault, model_down
from infra.feature_store.port import OnlineFeatures
from infra.registry.release import Release
from infra.routing.snap import Snapper
from infra.serving.shared import SharedParts, warm_store

FAULTS = (
    *FEATURE_STORE,
    Fault("traffic", "down", "there is no state of the roads", lambda *_: DownFeed()),
    Fault("traffic", "stale", "no new state of the roads arrives", lambda *_: StaleFeed()),
    Fault("routing", "down", "every search for a route fails", lambda *_: DownEngine()),
    *(model_down(name, f"the model {name}") for name in MODELS),
    STREAM,
)


@dataclass
class EtaBootstrap:
    """Creates a service from a release. All releases of a process share `shared`."""

    shared: SharedParts
    config: EtaConfig

    def __post_init__(self) -> None:
        self.shared.faults.register(FAULTS)

    def load(
        self, release: Release, *, features: OnlineFeatures | None = None, without_damaged: bool = False
    ) -> EtaService:
        """Verify and load every part. Raises `CorruptArtifact`. An unavailable feature store only degrades responses.

        `without_damaged` is for a process without a served release: a damaged model is left out, and its fallback marks
        every response as degraded. A damaged snapshot always raises.
        """
        digest, path, config = release.model_digest, Path(release.model_path), self.config
        city = open_city(Path(release.index_path), model_digest=digest)
        bundle = load_intact_models(path, digest) if without_damaged else load_bundle(path, digest)
        if bundle is None:
            raise CorruptArtifact(f"the corrected route in {path} is damaged", hint="run: lab build eta_prediction")
        clock, live = self.shared.clock_of(release), LiveRoads.open(city)
        guarded = self.shared.guarded(
            features or open_store(Path(release.features_path), self.shared.settings, online_only=True),
            clock,
            timeout_ms=config.serve.feature_timeout_ms,
            ttl_s=config.features.ttl_h * 3600,
        )
        faults = self.shared.faults
        pipeline = EtaPipeline(
            feed=TrafficFeed(live, faults),
            driver=DriverHydrator(guarded, DriverCache(config.serve.cache_ttl_s, config.serve.cache_drivers)),
            places=PlaceFinder(city.graph, Snapper(city.graph.topology), config.route.snap_m),
            router=Router(live, city.great_circle, faults),
            forecaster=RouteForecaster(city, live),
            predictor=QuantilePredictor(bundle, city.great_circle, faults),
            quoter=Quoter(),
        )
        version = f"{release.model_name}/{release.model_version}"
        service = EtaService(pipeline, city, live, bundle, config, clock, version)
        if self.shared.stats_path is not None:
            with contextlib.suppress(OSError, ValueError):  # the worker has not written a state yet
                self.follow(service, RoadState.read(self.shared.stats_path))
        warm_store(guarded)
        service.answer(service.query(STANDARD, {}), 0, city.graph.nodes - 1)
        return service

    def follow(self, service: EtaService, state: RoadState) -> None:
        """Route and predict with `state` from now on.

        A state of the future is skipped. It occurs after a restart of the whole lab, which sets the clock back. So is a
        state whose incidents lie outside the map, which occurs after a build with a smaller city.
        """
        if state.made_ts > service.clock.now() + 1.0:
            return
        if state.incident_edge.max(initial=-1) >= service.city.graph.edges:
            return
        if state.made_ts >= service.live.state.made_ts:
            with contextlib.suppress(RoutingUnavailable):  # the engine keeps its times, and the next state comes soon
                service.live.apply(state)
