"""Stage `predict`: P10, P50 and P90 of the trip's time, by the model that fits what is known of the traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array
from eta_prediction.features.great_circle import GreatCircle
from eta_prediction.model.artifact import CORRECTED, Bundle
from eta_prediction.online.query import EtaQuery
from infra.errors import DependencyError
from infra.faults.switch import FaultSwitch, SwitchedModel

NO_WAY_S = np.array([60.0, 120.0, 240.0])
"""quantiles of a trip from a place to itself: the times at the kerbs"""


@dataclass(frozen=True)
class QuantilePredictor:
    bundle: Bundle
    circle: GreatCircle
    faults: FaultSwitch
    name: str = "quantiles"

    def predict(self, query: EtaQuery) -> EtaQuery:
        """The query with its quantiles. Raises `ModelUnavailable` if the model fails."""
        if not query.x.shape[1]:
            return query.but(quantiles=self._without_inputs(query), model=CORRECTED)
        traffic, predict = _traffic(query), query.predict
        if predict.model == CORRECTED:
            return self._corrected(query)
        if predict.without_traffic == "same_model":
            traffic = "live"
        name = f"{self.bundle.best if predict.model == 'best' else predict.model}_{traffic}"
        model = SwitchedModel(self.bundle.models[name], name, self.faults)
        found = self.bundle.quantiles(name, query.x, predict.calibration, model)
        return query.but(quantiles=found[0] if len(found) == 1 else found, model=name)

    def fallback(self, query: EtaQuery, cause: DependencyError) -> EtaQuery:
        """The corrected route with the interval of past trips."""
        return self._corrected(query)

    def _corrected(self, query: EtaQuery) -> EtaQuery:
        found = self.bundle.historical(_traffic(query), query.x)
        return query.but(quantiles=found[0] if len(found) == 1 else found, model=CORRECTED)

    def _without_inputs(self, query: EtaQuery) -> Array:
        """A trip from a place to itself, or the great circle with the interval of past trips."""
        if query.origin == query.destination:
            return NO_WAY_S
        found: Array = query.routes[0].seconds * np.array(self.circle.interval)
        return found


def _traffic(query: EtaQuery) -> str:
    return "live" if query.is_live else "static"
