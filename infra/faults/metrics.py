"""The injected faults as a metric, so that a dashboard marks when a fault was active."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.faults.switch import FaultSwitch


class FaultMetrics(Collector):
    """`lab_fault_active` of every fault that can be injected, read at scrape time."""

    def __init__(self, faults: FaultSwitch) -> None:
        self._faults = faults

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("lab_fault_active", "1 while the fault is injected", labels=["port", "fault"])
        for fault in self._faults.faults:
            active = self._faults.active(fault.port)
            family.add_metric([fault.port, fault.name], float(active is not None and active.fault is fault))
        yield family
