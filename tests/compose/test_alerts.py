"""A stopped feature store raises one alert, which Alertmanager sends to the monitor, and which ends with the fault.

The stack uses the compressed clock: windows and waiting times of the rules are divided by 30. The tests use a project
and ports of their own, and need a Docker engine. `make compose-test` runs them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lab.services.composing import Stack
from tests.compose.test_stack import ASK, lab
from tests.support.images import build_images
from tests.support.waiting import until

PROJECT = "lab-alerts-test"
OVERLAY = ("-f", "docker-compose.yml", "-f", "infra/deploy/prometheus/compressed_clock.yml")
SEEN_S = 120.0
"""From the fault to the alert, and from the end of the fault to the end of the alert."""
CONSEQUENCES = {"BreakerOpen", "DegradedShareTooHigh"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    found = Stack(PROJECT, settings={"LAB_PRESET": "smoke"})
    found.down()
    build_images(found)
    found.compose(*OVERLAY, "up", "--detach", timeout_s=900)
    found.await_settled("healthy services and the end of the build")
    yield found
    found.down()


def listed(stack: Stack) -> dict[str, Any]:
    """Return what `lab alerts` prints."""
    done = lab(stack, "alerts", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def names(alerts: list[dict[str, Any]]) -> list[str]:
    return [alert["labels"]["alertname"] for alert in alerts]


def ask(stack: Stack, times: int = 30) -> None:
    for _ in range(times):
        httpx.post(f"{stack.url}/v1/feed", json=ASK, timeout=60)


def prometheus_alerts(stack: Stack) -> set[str]:
    found = httpx.get(f"{stack.prometheus_url}/api/v1/alerts", timeout=60).json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


@pytest.mark.timeout(1200)
def test_stopped_feature_store_raises_one_alert_that_ends_with_it(stack: Stack) -> None:
    assert listed(stack)["active"] == []
    stopped = time.monotonic()
    stack.compose("stop", "redis")

    def consequences_fire() -> bool:
        ask(stack)
        return bool(CONSEQUENCES & prometheus_alerts(stack))

    until(lambda: "FeatureStoreDown" in names(listed(stack)["active"]), "the alert", SEEN_S)
    seen_s = time.monotonic() - stopped
    until(consequences_fire, "an alert about the consequences, in Prometheus", SEEN_S)
    time.sleep(15)  # longer than a group of alerts waits
    active = listed(stack)["active"]
    assert names(active) == ["FeatureStoreDown"], "Alertmanager sends no alert that this one explains"
    assert active[0]["labels"]["severity"] == "page"

    started = time.monotonic()
    stack.compose("start", "redis")
    ask(stack)
    until(lambda: "FeatureStoreDown" in names(listed(stack)["recent"]), "the end of the alert", SEEN_S)
    print(f"seen after {seen_s:.1f} s, ended after {time.monotonic() - started:.1f} s")


def test_front_page_of_the_feed_lists_the_alerts_of_the_platform(stack: Stack) -> None:
    """The services read the monitor's file from the shared volume."""
    found = httpx.get(f"{stack.url}/v1/alerts", timeout=60).json()
    assert found["is_current"]
    assert {alert["name"] for alert in found["active"]} == set(names(listed(stack)["active"]))


def test_monitor_exports_the_metrics_of_the_build(stack: Stack) -> None:
    text = httpx.get(f"{stack.monitor_url}/metrics", timeout=60).text
    assert 'lab_build_failed{design="feed_ranking"} 0.0' in text
    assert 'lab_build_step_seconds{design="feed_ranking",step="train"}' in text
