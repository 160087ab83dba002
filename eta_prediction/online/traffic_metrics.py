"""Metrics of the traffic that a service routes with: the age of its state of the roads, and the time of an update.

The values are read at scrape time, so a request pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from eta_prediction.online.service import EtaService


class TrafficMetrics(Collector):
    """`served` returns the service of the loaded release, or None. Without a release there are no samples."""

    def __init__(self, served: Callable[[], EtaService | None]) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        service = self._served()
        for name, text, read in (
            ("age_seconds", "age of the state of the roads that quotes use, in world time", _age_s),
            ("probes", "decayed number of traversals behind this state", _probes),
            ("update_seconds", "time of the last change of the routing engine's edge times", _update_s),
        ):
            family = GaugeMetricFamily(f"lab_traffic_{name}", text)
            if service is not None:
                family.add_metric([], read(service))
            yield family


def _age_s(service: EtaService) -> float:
    return service.clock.now() - service.live.state.made_ts


def _probes(service: EtaService) -> float:
    return service.live.state.probes


def _update_s(service: EtaService) -> float:
    return service.live.update_ms / 1000
