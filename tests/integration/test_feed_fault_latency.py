"""A feature store that is down, slow or hangs delays no response past the latency budget."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from feed_ranking.design import DESIGN
from feed_ranking.online.app import create_app
from infra.settings import Settings
from tests.support.feed_served import ask, counted
from tests.support.tries import stays_below

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the feed with the design's own deadlines."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


@pytest.mark.parametrize("fault", ["down", "slow", "hang"])
def test_faulty_feature_store_degrades_every_response_within_the_latency_budget(client: TestClient, fault: str) -> None:
    def slowest_ms() -> float:
        before, took_ms = counted(client), 0.0
        for user in range(60):
            started = time.perf_counter()
            answer = ask(client, user_id=user)
            took_ms = max(took_ms, (time.perf_counter() - started) * 1000)
            assert answer["degraded"], "the response names the reason"
            assert len(answer["slate"]) == 20
        assert counted(client)["degraded"] - before["degraded"] == 60
        return took_ms

    client.put("/v1/faults/feature_store", json={"fault": fault, "delay_s": 0.3}).raise_for_status()
    try:
        stays_below(DESIGN.budgets[0].limit, slowest_ms, "milliseconds of the slowest response")
        assert client.get("/readyz").json()["breakers"]["feature_store"] != "closed"
    finally:
        client.delete("/v1/faults/feature_store")
