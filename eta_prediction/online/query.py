"""One request on its way through the stages. Each stage returns a copy with its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from eta_prediction.config import PredictConfig, QuoteConfig, RouteConfig
from eta_prediction.domain import NONE, SERVING_POLICY, Array, Ints
from eta_prediction.features.views import DriverFeatures, no_driver
from eta_prediction.items.road_state import RoadState
from eta_prediction.model.inputs import Floats
from infra.errors import DependencyError
from infra.feature_store.port import FeatureRow
from infra.resilience.deadline import Deadline

GREAT_CIRCLE = "great_circle"


class FoundRoute(NamedTuple):
    """One route: `edges` int64[k] in driving order, empty without an engine. `found_with` names what it is best for."""

    found_with: str
    edges: Ints
    km: float
    seconds: float


@dataclass(frozen=True)
class EtaQuery:
    """A request for a quote. `state` is the state of the roads that all stages use; `is_live` is False if its traffic
    does not describe the departure."""

    quote_id: int
    seed: int
    request_ts: float
    departure_ts: float
    ride_type: int
    driver_id: int
    most_routes: int
    deadline: Deadline
    route: RouteConfig
    predict: PredictConfig
    quote: QuoteConfig
    knobs: Mapping[str, Any]
    state: RoadState
    is_live: bool
    origin: int = NONE
    destination: int = NONE
    read: FeatureRow | DependencyError | None = None
    driver: DriverFeatures = field(default_factory=no_driver)
    driver_ts: float = 0.0
    routes: tuple[FoundRoute, ...] = ()
    route_source: str = ""
    x: Floats = field(default_factory=lambda: np.zeros((1, 0), np.float32))
    model: str = ""
    quantiles: Array = field(default_factory=lambda: np.zeros(3))
    quoted_s: float = 0.0
    policy: str = SERVING_POLICY
    propensity: float = 1.0

    @property
    def is_cold(self) -> bool:
        return not bool(self.driver.is_known[0])

    def but(self, **changes: Any) -> EtaQuery:
        """A copy with changed fields. `dataclasses.replace` takes ten times as long, because it sets every field."""
        found = object.__new__(EtaQuery)
        object.__setattr__(found, "__dict__", self.__dict__ | changes)
        return found
