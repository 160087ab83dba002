"""Checks in the background whether a service can read the feature store, and exports the answer as a metric.

Without it, a store that is down stays unnoticed until the next request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.errors import BulkheadFull, DependencyError
from infra.feature_store.guarded import GuardedFeatures

EVERY_S = 5.0


class StoreWatch(Collector):
    """Exports `lab_feature_store_up`: 1 if the last probe was answered in time, else 0; no sample before the first one.

    `watch` takes the store of the loaded release, so that the watch follows a swap.
    """

    def __init__(self) -> None:
        self._features: GuardedFeatures | None = None
        self._is_up: bool | None = None
        self._stop = threading.Event()

    def watch(self, features: GuardedFeatures) -> None:
        self._features = features

    def start(self) -> None:
        threading.Thread(target=self._run, name="store-watch", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """Probe the store once. A full bulkhead says nothing about the store, so the last answer stays."""
        if self._features is None:
            return
        try:
            self._features.probe()
            self._is_up = True
        except BulkheadFull:
            pass
        except DependencyError:
            self._is_up = False

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("lab_feature_store_up", "1 if the feature store answers a probe in time")
        if self._is_up is not None:
            family.add_metric([], float(self._is_up))
        yield family

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.look()
