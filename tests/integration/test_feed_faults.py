"""The feed falls back while one of its parts is faulty, and the response names the reason."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from feed_ranking.config import SMOKE
from feed_ranking.online.app import create_app
from infra.settings import Settings
from tests.support.feed_served import PLAIN, ask, counted, posts, recovered, served  # noqa: F401  (fixtures)
from tests.support.patience import DEADLINE_FACTOR


def test_breaker_stops_reads_of_a_feature_store_that_is_down(client: TestClient) -> None:
    client.put("/v1/faults/feature_store", json={"fault": "down"}).raise_for_status()
    reasons = [ask(client)["degraded"][0] for _ in range(40)]
    assert reasons[0] == "feature_store_unavailable"
    assert reasons.count("breaker_open") > 20


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("index", "index_unavailable"),
        ("user_tower", "user_tower_unavailable"),
        ("light_ranker", "light_ranker_unavailable"),
        ("heavy_ranker", "heavy_ranker_unavailable"),
    ],
)
def test_feed_serves_without_a_part_that_is_down_and_names_it(client: TestClient, port: str, reason: str) -> None:
    usual = posts(ask(client, knobs=PLAIN))
    client.put(f"/v1/faults/{port}", json={"fault": "down"}).raise_for_status()
    before = counted(client)
    answer = ask(client, knobs=PLAIN)
    assert answer["degraded"] == [reason]
    assert len(answer["slate"]) == 20
    assert counted(client)["degraded"] == before["degraded"] + 1
    if port == "heavy_ranker":
        assert posts(answer) == posts(ask(client, knobs=PLAIN | {"heavy_top_k": 0})), "the order of the light ranker"
    elif port == "index":
        found = {source for item in answer["slate"] for source in item["sources"]}
        assert found <= {"follow", "trending", "fresh"}
    elif port == "user_tower":
        assert posts(answer) != usual


def test_feed_without_any_model_ranks_by_popularity(client: TestClient) -> None:
    for port in ("user_tower", "light_ranker", "heavy_ranker"):
        client.put(f"/v1/faults/{port}", json={"fault": "down"}).raise_for_status()
    answer = ask(client, knobs=PLAIN)
    assert set(answer["degraded"]) == {f"{port}_unavailable" for port in ("user_tower", "light_ranker", "heavy_ranker")}
    scores = [item["score"] for item in answer["slate"]]
    assert scores == sorted(scores, reverse=True)
    assert len(answer["slate"]) == 20


def test_naive_hydration_without_its_columns_falls_back_to_the_snapshot(client: TestClient) -> None:
    body = {"user_id": 7, "knobs": PLAIN | {"hydration": "feast"}}
    answer = client.post("/v1/feed?explain=true", json=body).json()
    assert answer["degraded"] == ["feature_store_unavailable"]
    detail = next(entry["detail"] for entry in answer["trace"] if entry["stage"] == "hydrate")
    assert "lab build feed_ranking --with-naive-hydration" in detail
    assert posts(answer) == posts(ask(client, knobs=PLAIN))


def test_row_past_its_ttl_is_used_and_marked_stale(settings: Settings) -> None:
    from tests.support.harness import load_feed

    service, _, _ = load_feed(settings)
    service.clock._anchor += SMOKE.features.ttl_h * 3600 + 60
    outcome = service.answer(service.query(7, 10, [], {}))
    assert outcome.degraded == ["features_stale"]
    assert not outcome.query.is_cold


def test_longer_deadlines_wait_for_a_slow_feature_store(client: TestClient) -> None:
    """The delay exceeds the design's own timeout, and the service runs with a deadline factor."""
    delay_s = 1.5 * SMOKE.serve.feature_timeout_ms / 1000
    client.put("/v1/faults/feature_store", json={"fault": "slow", "delay_s": delay_s}).raise_for_status()
    assert ask(client)["degraded"] == []
    assert client.get("/v1/design").json()["deadline_factor"] == DEADLINE_FACTOR


def test_unknown_faults_and_ports_are_refused(client: TestClient) -> None:
    assert client.put("/v1/faults/feature_store", json={"fault": "explode"}).status_code == 422
    assert client.put("/v1/faults/moon", json={"fault": "down"}).status_code == 422
    assert client.delete("/v1/faults/moon").status_code == 422


def test_fault_routes_are_absent_without_the_fault_injection_setting(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"fault_injection": False}))
    with TestClient(app) as quiet:
        assert quiet.get("/v1/faults").status_code == 404
