"""A Prometheus collector of stage durations and of the candidate counts into and out of each stage.

A request has ten stages. The client library's counters take a lock per value, which cost a twelfth of an auction's
latency. This collector adds plain numbers and creates the metrics at scrape time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from infra.pipeline.trace import Trace


class StageTally(Collector):
    """Collects `lab_stage_seconds` per stage, with bucket `edges` in seconds, and `lab_candidates_total` per step.

    Only the event loop's thread may call `observe`.
    """

    def __init__(self, edges: Sequence[float], registry: CollectorRegistry) -> None:
        self._edges = list(edges)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, list[int]] = {}
        self._passed: dict[str, list[int]] = {}
        registry.register(self)

    def observe(self, trace: Trace) -> None:
        """Add the stages of one answered request."""
        sums, edges = self._sums, self._edges
        for stage, ms in trace.stage_ms().items():
            if stage not in sums:
                sums[stage], self._counts[stage] = 0.0, [0] * (len(edges) + 1)
            sums[stage] += ms / 1000
            self._counts[stage][bisect_left(edges, ms / 1000)] += 1
        passed = self._passed
        for entry in trace.stages:
            if entry.counts_candidates:
                both = passed.get(entry.name)
                if both is None:
                    both = passed[entry.name] = [0, 0]
                both[0] += entry.count_in
                both[1] += entry.count_out

    def collect(self) -> Iterator[Metric]:
        times = HistogramMetricFamily("lab_stage_seconds", "time of one stage", labels=["stage"])
        names = [*map(floatToGoString, self._edges), "+Inf"]
        for stage, sum_s in list(self._sums.items()):
            below, buckets = 0, []
            for name, count in zip(names, self._counts[stage], strict=True):
                below += count
                buckets.append((name, below))
            times.add_metric([stage], buckets, sum_s)
        yield times
        candidates = CounterMetricFamily(
            "lab_candidates", "candidates into and out of a stage", labels=["stage", "direction"]
        )
        for step, both in list(self._passed.items()):
            for direction, count in zip(("in", "out"), both, strict=True):
                candidates.add_metric([step, direction], count)
        yield candidates
