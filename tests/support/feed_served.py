"""A served feed for tests: fixtures for test modules to import, and functions that send requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feed_ranking.online.app import create_app
from feed_ranking.online.bootstrap import FAULTS
from infra.settings import Settings
from tests.support.patience import PATIENT
from tests.support.stream import embedded_for
from tests.support.waiting import until


@pytest.fixture(scope="module", name="client")
def served(settings: Settings) -> Iterator[TestClient]:
    with (
        embedded_for(settings),
        TestClient(create_app(settings.model_copy(update=PATIENT)), raise_server_exceptions=False) as opened,
    ):
        until(lambda: opened.get("/readyz").json()["stream"] == "answers", "the stream")
        yield opened


@pytest.fixture(autouse=True, name="healthy")
def recovered(client: TestClient) -> Iterator[None]:
    yield
    for port in {fault.port for fault in FAULTS}:
        client.delete(f"/v1/faults/{port}")
    until(lambda: not ask(client)["degraded"], "a service that has recovered")


PLAIN = {"ads": 0, "epsilon": 0, "freshness_weight": 0, "repeat_discount": 1}
"""Knobs that keep the order of the model's scores."""


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/feed", json={"user_id": 7} | body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def posts(answer: dict[str, Any]) -> list[int]:
    return [item["post_id"] for item in answer["slate"] if item["ad_id"] is None]


def counted(client: TestClient) -> dict[str, float]:
    text = client.get("/metrics").text
    found = dict(re.findall(r'^lab_responses_total\{outcome="(\w+)"\} (\S+)$', text, re.M))
    total = re.search(r"^lab_requests_total (\S+)$", text, re.M)
    assert total is not None
    return {name: float(value) for name, value in found.items()} | {"requests": float(total.group(1))}
