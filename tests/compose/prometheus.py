"""What the tests of the composed stack ask Prometheus."""

from __future__ import annotations

from typing import Any

import httpx

from lab.designs import find_design
from lab.services.composing import Stack
from tests.contracts.test_monitoring import queries

PLATFORM = {"prometheus", "alertmanager", "monitor", "balancer"}
"""The jobs of Prometheus that belong to no design."""


def query_prometheus(stack: Stack, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/query", params={"query": query}, timeout=60).json()
    assert answer["status"] == "success", answer
    rows: list[dict[str, Any]] = answer["data"]["result"]
    return rows


def prometheus_is_ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.prometheus_url}/-/ready", timeout=60).is_success
    except httpx.HTTPError:
        return False


def targets_up(stack: Stack) -> set[str]:
    """Return the jobs of Prometheus with a target that is up."""
    return {row["metric"]["job"] for row in query_prometheus(stack, "up") if float(row["value"][1]) == 1}


def targets_of(name: str) -> set[str]:
    """Return the jobs of Prometheus for a design: its service and its worker."""
    container = find_design(name).container
    return {container, "worker" if container == "feed" else f"{container}-worker"}


def queries_without_data(stack: Stack, design: str) -> list[str]:
    """Return the queries of the design's dashboard that have no data in Prometheus."""
    return [query for query in queries(design) if not query_prometheus(stack, query)]
