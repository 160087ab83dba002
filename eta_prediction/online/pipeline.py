"""The stages of a quote, in order. Read this file first.

    driver (read) → snap → route → forecast → predict → quote

A stage that fails with a `DependencyError` has a fallback, and the answer is marked as degraded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eta_prediction.online.driver import DriverHydrator
from eta_prediction.online.forecast import RouteForecaster
from eta_prediction.online.predict import QuantilePredictor
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.quote import Quoter
from eta_prediction.online.route import Router
from eta_prediction.online.snap import Place, PlaceFinder
from eta_prediction.online.traffic import TrafficFeed
from infra.errors import DependencyError
from infra.pipeline.trace import Trace


@dataclass(frozen=True)
class EtaPipeline:
    """Immutable and shared by all requests of a release."""

    feed: TrafficFeed
    driver: DriverHydrator
    places: PlaceFinder
    router: Router
    forecaster: RouteForecaster
    predictor: QuantilePredictor
    quoter: Quoter

    def run(self, query: EtaQuery, origin: Place, destination: Place, trace: Trace) -> EtaQuery:
        """Answer one query. Raises `UsageError` for places off the map or without a road between them."""
        query = self.stage("driver", self.driver, self.driver.hydrate, self.driver.fallback, query, trace)
        with trace.query_stage("snap", "nearest_node"):
            ends = (self.places.node("origin", origin), self.places.node("destination", destination))
            query = query.but(origin=ends[0], destination=ends[1])
        query = self.stage("route", self.feed, self.feed.see, self.feed.fallback, query, trace)
        query = self.stage("route", self.router, self.router.find, self.router.fallback, query, trace)
        with trace.query_stage("forecast", self.forecaster.name):
            query = self.forecaster.inputs(query)
        query = self.stage("predict", self.predictor, self.predictor.predict, self.predictor.fallback, query, trace)
        with trace.query_stage("quote", self.quoter.name):
            return self.quoter.quote(query)

    def stage(
        self,
        stage: str,
        part: DriverHydrator | TrafficFeed | Router | QuantilePredictor,
        work: Callable[[EtaQuery], EtaQuery],
        fallback: Callable[[EtaQuery, DependencyError], EtaQuery],
        query: EtaQuery,
        trace: Trace,
    ) -> EtaQuery:
        try:
            with trace.query_stage(stage, part.name):
                return work(query)
        except DependencyError as cause:
            return fallback(query, cause)
