"""The monitor of `lab up` fires an alert for a real fault, shows it everywhere, and ends it with the fault."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import httpx

from infra.settings import Settings
from lab.services.client import request
from lab.services.ports import monitor_port_of
from tests.e2e.conftest import Lab
from tests.support.waiting import until


def monitor_url(lab: Lab) -> str:
    return f"http://127.0.0.1:{monitor_port_of(Settings(port=lab.port))}"


def listed(lab: Lab, which: str) -> list[str]:
    found: dict[str, Any] = request("GET", f"{monitor_url(lab)}/v1/alerts").json()
    return [row["labels"]["alertname"] for row in found[which]]


def test_feature_store_fault_fires_an_alert_that_ends_with_the_fault(lab: Lab) -> None:
    until(lambda: "FeatureStoreDown" not in listed(lab, "active"), "the end of the alert of an earlier test")
    with lab.fault("feature_store", "down"):
        until(lambda: "FeatureStoreDown" in listed(lab, "active"), "the alert")
        shown = lab.run("alerts")
        assert "no service can read the feature store" in shown
        page = request("GET", f"{lab.url}/v1/alerts").json()
        assert page["is_current"]
        assert "FeatureStoreDown" in [row["name"] for row in page["active"]]
    until(lambda: "FeatureStoreDown" not in listed(lab, "active"), "the end of the alert")
    assert "FeatureStoreDown" in listed(lab, "recent")


def test_service_that_does_not_answer_fires_an_alert_with_its_address(lab: Lab) -> None:
    pid = lab.service_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: "TargetDown" in listed(lab, "active"), "the alert")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: "TargetDown" not in listed(lab, "active"), "the end of the alert")
    rows = lab.run("alerts", "--json", parse=True)["recent"]
    found = next(row for row in rows if row["labels"]["alertname"] == "TargetDown")
    assert found["labels"]["design"] == "feed_ranking"
    assert lab.url.endswith(found["labels"]["instance"])


def test_monitor_refuses_notifications_and_foreign_hosts_with_problem_details(lab: Lab) -> None:
    url = f"{monitor_url(lab)}/v1/alerts/webhook"
    body: dict[str, Any] = {"version": "4", "alerts": []}
    cases = [
        (httpx.post(url, json=body), 422),
        (httpx.post(url, content=b"{", headers={"content-type": "application/json"}), 400),
        (httpx.post(url, json={"version": "3"}), 422),
        (httpx.post(url, content=b"x" * 1_000_001), 413),
        (httpx.post(url, json=body, headers={"host": "evil.example"}), 421),
        (httpx.get(f"{monitor_url(lab)}/nowhere"), 404),
    ]
    for answer, status in cases:
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.text)["status"] == status
