"""Metrics of rollouts, read from the state file of each design at scrape time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.registry.rollout import read_rollout
from infra.settings import Settings


class RolloutMetrics(Collector):
    """The newest rollout of each design. A design that has had none has no samples."""

    def __init__(self, designs: Sequence[str], settings: Settings) -> None:
        self._roots = {name: settings.design_root(name) for name in designs}

    def collect(self) -> Iterator[Metric]:
        def gauge(name: str, text: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"lab_rollout_{name}", text, labels=["design"])

        active = gauge("active", "1 while a challenger is in the shadow or a canary")
        users = gauge("users_share", "share of users that the challenger answers")
        back = gauge("rolled_back", "1 if the newest rollout was rolled back")
        version = gauge("model_version", "version of the challenger of the newest rollout")
        since = gauge("stage_timestamp_seconds", "time at which the present stage began")
        for name, root in self._roots.items():
            rollout = read_rollout(root)
            if rollout.stage == "none":
                continue
            active.add_metric([name], float(rollout.is_active))
            users.add_metric([name], rollout.share if rollout.stage in ("canary", "promoted") else 0.0)
            back.add_metric([name], float(rollout.stage == "rolled back"))
            version.add_metric([name], float(rollout.version))
            since.add_metric([name], rollout.since)
        yield from (active, users, back, version, since)
