"""Traffic metrics exist before the first release, and have samples only after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from eta_prediction.online.traffic_metrics import TrafficMetrics


def text(served: Any) -> str:
    registry = CollectorRegistry()
    registry.register(TrafficMetrics(lambda: served))
    found: str = generate_latest(registry).decode()
    return found


def test_service_without_a_release_exports_no_values() -> None:
    lines = text(None).splitlines()
    assert "# TYPE lab_traffic_age_seconds gauge" in lines
    assert all(line.startswith("#") for line in lines)


def test_age_grows_with_the_world_clock() -> None:
    live = SimpleNamespace(state=SimpleNamespace(made_ts=1_000.0, probes=80.0), update_ms=25.0)
    for now, age in ((1_010.0, "10.0"), (1_400.0, "400.0")):
        service = SimpleNamespace(clock=SimpleNamespace(now=lambda now=now: now), live=live)
        lines = text(service).splitlines()
        assert {f"lab_traffic_age_seconds {age}", "lab_traffic_probes 80.0", "lab_traffic_update_seconds 0.025"} <= set(
            lines
        )
