"""The service over its ASGI door: good questions, bad questions, and a feature store that misbehaves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feed_ranking.config import SMOKE
from feed_ranking.design import DESIGN
from feed_ranking.online.app import MAX_ID, create_app
from infra.settings import Settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(autouse=True)
def healthy(client: TestClient) -> Iterator[None]:
    yield
    client.delete("/v1/faults/feature_store")
    until = time.monotonic() + 5
    while ask(client)["degraded"]:
        assert time.monotonic() < until, "the service did not recover"
        time.sleep(0.1)


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/feed", json={"user_id": 7} | body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def counted(client: TestClient) -> dict[str, float]:
    text = client.get("/metrics").text
    found = dict(re.findall(r'^lab_responses_total\{outcome="(\w+)"\} (\S+)$', text, re.M))
    total = re.search(r"^lab_requests_total (\S+)$", text, re.M)
    assert total is not None
    return {name: float(value) for name, value in found.items()} | {"requests": float(total.group(1))}


def test_a_known_user_gets_a_personal_slate(client: TestClient) -> None:
    answer = ask(client, k=10)
    assert len(answer["slate"]) == 10
    assert [item["position"] for item in answer["slate"]] == list(range(10))
    scores = [item["score"] for item in answer["slate"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["degraded"] == []
    assert not answer["is_cold_start"]
    assert {"follow", "interest"} <= {source for item in answer["slate"] for source in item["sources"]}


def test_users_get_different_slates(client: TestClient) -> None:
    slates = {tuple(item["post_id"] for item in ask(client, user_id=user)["slate"]) for user in range(20)}
    assert len(slates) > 15


def test_an_unknown_user_gets_the_cold_start_slate_and_no_error(client: TestClient) -> None:
    for user in (999_999, MAX_ID):
        answer = ask(client, user_id=user, k=5)
        assert answer["is_cold_start"]
        assert answer["degraded"] == []
        assert len(answer["slate"]) == 5


def test_seen_posts_do_not_come_again(client: TestClient) -> None:
    first = [item["post_id"] for item in ask(client)["slate"]]
    second = [item["post_id"] for item in ask(client, seen=first)["slate"]]
    assert not set(first) & set(second)
    assert len(second) == 20


def test_the_creator_cap_holds_for_the_request_that_turns_it(client: TestClient) -> None:
    for cap in (1, 2):
        creators = [item["creator_id"] for item in ask(client, k=30, knobs={"creator_cap": cap})["slate"]]
        assert max(creators.count(creator) for creator in creators) <= cap


def test_every_request_time_knob_reaches_a_stage(settings: Settings) -> None:
    from tests.contracts.harness import load_feed

    service, _, _ = load_feed(settings)
    for knob in DESIGN.knobs("smoke"):
        if knob.per_request:
            query = service.query(7, 10, [], {knob.name: knob.high})
            assert getattr(getattr(query, knob.stage), knob.name) == knob.high


def test_a_source_can_be_turned_off(client: TestClient) -> None:
    knobs = {"follow_limit": 0, "trending_limit": 0}
    assert {tuple(item["sources"]) for item in ask(client, knobs=knobs)["slate"]} == {("interest",)}
    nothing = ask(client, knobs=knobs | {"interest_limit": 0})
    assert nothing["slate"] == []


def test_explain_adds_the_trace_and_every_answer_has_server_timing(client: TestClient) -> None:
    response = client.post("/v1/feed?explain=true", json={"user_id": 7})
    trace = response.json()["trace"]
    stages = [entry["stage"] for entry in trace]
    assert list(dict.fromkeys(stages)) == ["query", "retrieve", "filter", "hydrate", "rank", "rerank"]
    assert trace[-1]["count_out"] == 20
    assert "creator_cap" in trace[-1]["removed"]
    timing = client.post("/v1/feed", json={"user_id": 7}).headers["server-timing"]
    assert re.fullmatch(r"(\w+;dur=\d+\.\d\d(, )?)+", timing)
    assert "trace" not in ask(client)


BAD = {
    "malformed": (b'{"user_id": 7', 400),
    "empty body": (b"", 422),
    "not an object": (b"[1, 2]", 422),
    "no user": (b'{"k": 5}', 422),
    "user as text": (b'{"user_id": "7"}', 422),
    "user as float": (b'{"user_id": 7.5}', 422),
    "user as bool": (b'{"user_id": true}', 422),
    "user null": (b'{"user_id": null}', 422),
    "user negative": (b'{"user_id": -1}', 422),
    "user huge": (b'{"user_id": 99999999999999999999999999}', 422),
    "user NaN": (b'{"user_id": NaN}', 422),
    "user infinite": (b'{"user_id": 1e999}', 422),
    "k zero": (b'{"user_id": 7, "k": 0}', 422),
    "k negative": (b'{"user_id": 7, "k": -5}', 422),
    "k too large": (b'{"user_id": 7, "k": 201}', 422),
    "seen not a list": (b'{"user_id": 7, "seen": 3}', 422),
    "seen with text": (b'{"user_id": 7, "seen": ["a"]}', 422),
    "seen huge id": (b'{"user_id": 7, "seen": [99999999999999999999]}', 422),
    "seen too long": (b'{"user_id": 7, "seen": [' + b"1," * 2000 + b"1]}", 422),
    "unknown knob": (b'{"user_id": 7, "knobs": {"magic": 1}}', 422),
    "offline knob": (b'{"user_id": 7, "knobs": {"epochs": 1}}', 422),
    "knob out of range": (b'{"user_id": 7, "knobs": {"creator_cap": 0}}', 422),
    "knob NaN": (b'{"user_id": 7, "knobs": {"creator_cap": NaN}}', 422),
    "knob as text": (b'{"user_id": 7, "knobs": {"creator_cap": "3"}}', 422),
    "knobs not an object": (b'{"user_id": 7, "knobs": 3}', 422),
    "unknown field": (b'{"user_id": 7, "limit": 3}', 422),
    "ten megabytes": (b'{"user_id": 7, "seen": [' + b"1," * 5_000_000 + b"1]}", 413),
    "deeply nested": (b"[" * 30_000, 400),
    "not utf-8": (b'{"user_id": "\xff"}', 400),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_problem_and_no_stack_trace(client: TestClient, case: str) -> None:
    body, status = BAD[case]
    before = counted(client)
    response = client.post("/v1/feed", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"], "it must say what is wrong"
    assert "Traceback" not in response.text
    assert len(response.content) < 5000
    assert counted(client)["rejected"] == before["rejected"] + 1


def test_a_wrong_method_or_path_is_a_problem_document_too(client: TestClient) -> None:
    for response in (client.get("/v1/feed"), client.post("/v1/nothing", json={})):
        assert response.status_code in (404, 405)
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("fault", ["down", "slow", "hang"])
def test_a_sick_feature_store_degrades_every_answer_and_delays_none(client: TestClient, fault: str) -> None:
    client.put("/v1/faults/feature_store", json={"fault": fault, "delay_s": 0.3}).raise_for_status()
    before = counted(client)
    for user in range(60):
        started = time.perf_counter()
        answer = ask(client, user_id=user)
        took_ms = (time.perf_counter() - started) * 1000
        assert answer["degraded"], "a degraded answer must say so"
        assert len(answer["slate"]) == 20
        assert took_ms < DESIGN.budgets[0].limit
    after = counted(client)
    assert after["degraded"] - before["degraded"] == 60
    assert client.get("/readyz").json()["breakers"]["feature_store"] != "closed"


def test_the_breaker_spares_a_store_that_is_down(client: TestClient) -> None:
    client.put("/v1/faults/feature_store", json={"fault": "down"}).raise_for_status()
    reasons = [ask(client)["degraded"][0] for _ in range(40)]
    assert reasons[0] == "feature_store_unavailable"
    assert reasons.count("breaker_open") > 20


def test_a_row_older_than_its_ttl_is_used_and_flagged(settings: Settings) -> None:
    from tests.contracts.harness import load_feed

    service, _, _ = load_feed(settings)
    service.clock._anchor += SMOKE.features.ttl_h * 3600 + 60
    outcome = service.answer(service.query(7, 10, [], {}))
    assert outcome.degraded == ["features_stale"]
    assert not outcome.query.is_cold


def test_requests_are_the_sum_of_their_outcomes(client: TestClient) -> None:
    ask(client)
    client.post("/v1/feed", content=b"{")
    found = counted(client)
    assert found["requests"] == sum(value for name, value in found.items() if name != "requests")
    assert found["failed"] == 0


def test_metrics_name_the_model_the_stages_and_no_user(client: TestClient) -> None:
    ask(client, user_id=424_242)
    text = client.get("/metrics").text
    assert 'lab_model_info{name="feed_ranking-smoke"' in text
    for stage in ("query", "retrieve", "rank", "rerank"):
        assert f'lab_stage_seconds_count{{stage="{stage}"}}' in text
    assert 'le="0.2"' in text, "the budget is a bucket edge"
    assert "424242" not in text


def test_the_design_document_has_budgets_knobs_and_steps(client: TestClient) -> None:
    found = client.get("/v1/design").json()
    assert {budget["name"]: budget["limit"] for budget in found["budgets"]}["p99_ms"] == 200
    cap = next(knob for knob in found["knobs"] if knob["name"] == "creator_cap")
    assert (cap["low"], cap["high"], cap["unit"], cap["per_request"]) == (1, 200, "posts", True)
    assert [step["name"] for step in found["steps"]] == [step.name for step in DESIGN.steps]


def test_the_front_page_and_the_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path).text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page), path
    page = client.get("/").text
    assert 'name="arg:user_id"' in page
    assert 'name="knob:creator_cap"' in page
    assert "{{" not in page


def test_openapi_has_examples_and_every_error(client: TestClient) -> None:
    feed = client.get("/openapi.json").json()["paths"]["/v1/feed"]["post"]
    assert feed["requestBody"]["content"]["application/json"]["examples"]
    assert {"200", "400", "413", "422", "503"} <= set(feed["responses"])


def test_faults_that_do_not_exist_are_refused(client: TestClient) -> None:
    assert client.put("/v1/faults/feature_store", json={"fault": "explode"}).status_code == 422
    assert client.put("/v1/faults/moon", json={"fault": "down"}).status_code == 422
    assert client.delete("/v1/faults/moon").status_code == 422


def test_without_the_setting_nobody_can_inject_faults(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"fault_injection": False}))
    with TestClient(app) as quiet:
        assert quiet.get("/v1/faults").status_code == 404
