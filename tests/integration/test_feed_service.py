"""The feed service handles valid and invalid requests, tested over ASGI."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from feed_ranking.design import DESIGN
from infra.serving.event_intake import MAX_ID
from infra.settings import Settings
from tests.support.containers import wait_for
from tests.support.feed_served import PLAIN, ask, counted, posts, recovered, served  # noqa: F401  (fixtures)


def test_known_user_gets_a_personalised_slate(client: TestClient) -> None:
    answer = ask(client, k=10, knobs=PLAIN)
    assert len(answer["slate"]) == 10
    assert [item["position"] for item in answer["slate"]] == list(range(10))
    scores = [item["score"] for item in answer["slate"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["degraded"] == []
    assert not answer["is_cold_start"]
    assert {"interest"} <= {source for item in answer["slate"] for source in item["sources"]}


def test_fast_path_and_framework_path_return_the_same_slate(client: TestClient) -> None:
    for user in (3, 10**9):
        quick = ask(client, user_id=user, seed=5, knobs=PLAIN)
        again = client.post("/v1/feed?explain=true", json={"user_id": user, "seed": 5, "knobs": PLAIN}).json()
        assert posts(quick) == posts(again)
        for name in ("seed", "policy", "model_version", "is_cold_start", "degraded"):
            assert quick[name] == again[name]
        assert (quick.get("trace"), again["trace"][-1]["stage"]) == (None, "rerank")


def test_users_get_different_slates(client: TestClient) -> None:
    slates = {tuple(item["post_id"] for item in ask(client, user_id=user)["slate"]) for user in range(20)}
    assert len(slates) > 15


def test_unknown_user_gets_a_cold_start_slate(client: TestClient) -> None:
    for user in (999_999, MAX_ID):
        answer = ask(client, user_id=user, k=5)
        assert answer["is_cold_start"]
        assert answer["degraded"] == []
        assert len(answer["slate"]) == 5


def test_seen_posts_are_not_recommended_again(client: TestClient) -> None:
    first = posts(ask(client))
    second = posts(ask(client, seen=first, knobs={"ads": 0}))
    assert not set(first) & set(second)
    assert len(second) == 20


def test_creator_cap_knob_limits_the_posts_per_creator(client: TestClient) -> None:
    for cap in (1, 2):
        creators = [item["creator_id"] for item in ask(client, k=30, knobs={"creator_cap": cap, "ads": 0})["slate"]]
        assert max(creators.count(creator) for creator in creators) <= cap


def test_every_request_time_knob_reaches_a_stage(settings: Settings) -> None:
    from tests.support.harness import load_feed

    service, _, _ = load_feed(settings)
    for knob in DESIGN.knobs("smoke"):
        if knob.per_request:
            value = knob.choices[-1] if knob.choices else knob.high
            query = service.query(7, 10, [], {knob.name: value})
            assert getattr(getattr(query, knob.stage), knob.name) == value


def test_candidate_sources_can_be_turned_off(client: TestClient) -> None:
    knobs = {"follow_limit": 0, "trending_limit": 0, "fresh_limit": 0, "ads": 0}
    assert {tuple(item["sources"]) for item in ask(client, knobs=knobs)["slate"]} == {("interest",)}
    nothing = ask(client, knobs=knobs | {"interest_limit": 0})
    assert nothing["slate"] == []


def test_explain_adds_the_trace_and_responses_have_server_timing(client: TestClient) -> None:
    response = client.post("/v1/feed?explain=true", json={"user_id": 7})
    trace = response.json()["trace"]
    stages = [entry["stage"] for entry in trace]
    assert list(dict.fromkeys(stages)) == ["query", "retrieve", "filter", "hydrate", "cut", "rank", "rerank"]
    assert trace[-1]["count_out"] == 18, "two of twenty places are for ads"
    assert next(entry for entry in trace if entry["stage"] == "cut")["removed"]["cut"] > 0
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
    "knob of no such choice": (b'{"user_id": 7, "knobs": {"hydration": "magic"}}', 422),
    "seed negative": (b'{"user_id": 7, "seed": -1}', 422),
    "unknown field": (b'{"user_id": 7, "limit": 3}', 422),
    "ten megabytes": (b'{"user_id": 7, "seen": [' + b"1," * 5_000_000 + b"1]}", 413),
    "deeply nested": (b"[" * 30_000, 400),
    "not utf-8": (b'{"user_id": "\xff"}', 400),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_body_gets_problem_details_without_a_stack_trace(client: TestClient, case: str) -> None:
    body, status = BAD[case]
    before = counted(client)
    response = client.post("/v1/feed", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"], "the detail describes the error"
    assert "Traceback" not in response.text
    assert len(response.content) < 5000
    assert counted(client)["rejected"] == before["rejected"] + 1


def test_wrong_method_or_path_gets_problem_details(client: TestClient) -> None:
    for response in (client.get("/v1/feed"), client.post("/v1/nothing", json={})):
        assert response.status_code in (404, 405)
        assert response.headers["content-type"] == "application/problem+json"


def test_same_seed_repeats_the_slate_and_other_seeds_change_it(client: TestClient) -> None:
    knobs = {"epsilon": 0.8}
    first = ask(client, knobs=knobs)
    again = ask(client, knobs=knobs, seed=first["seed"])
    chosen = [
        [(item["post_id"], item["ad_id"], item["propensity"]) for item in each["slate"]] for each in (first, again)
    ]
    assert chosen[0] == chosen[1]
    assert any(item["explored"] for item in first["slate"])
    assert len({tuple(posts(ask(client, knobs=knobs, seed=seed))) for seed in range(8)}) > 1


def test_ads_keep_the_configured_gap_and_can_be_turned_off(client: TestClient) -> None:
    slate = ask(client, k=30, knobs={"ads": 3, "ad_gap": 5})["slate"]
    assert [item["position"] for item in slate if item["ad_id"] is not None] == [5, 11, 17]
    assert len(slate) == 30
    assert all(item["ad_id"] is None for item in ask(client, knobs={"ads": 0})["slate"])


def test_published_post_becomes_a_candidate(client: TestClient) -> None:
    knobs = PLAIN | {"interest_limit": 0, "follow_limit": 0, "trending_limit": 0, "fresh_limit": 2000}
    number = time.time_ns() // 1000
    new = {"post_id": number, "creator_id": 3, "topic": 2, "quality_signal": 3.0, "bait_signal": -2.0}
    before = client.post("/v1/feed?explain=true", json={"user_id": 7, "knobs": knobs}).json()["trace"]
    assert client.get(f"/v1/posts/{number}").status_code == 404
    for _ in range(2):  # publishing a post twice has no effect
        answer = client.post("/v1/posts", json={"posts": [new]})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
        wait_for(lambda: client.get(f"/v1/posts/{number}").status_code == 200, "the post")
        after = client.post("/v1/feed?explain=true", json={"user_id": 7, "k": 200, "knobs": knobs}).json()
        fresh = [next(e["count_out"] for e in trace if e["name"] == "fresh") for trace in (before, after["trace"])]
        assert fresh[1] == fresh[0] + 1
        assert number in posts(after)
    found = client.get(f"/v1/posts/{number}").json()
    assert (found["creator_id"], found["topic"]) == (3, 2)


ITEM = {"session_id": 1, "user_id": 7, "creator_id": 3, "ad_id": -1, "depth": 0, "creator_before": 0}
"""Fields that a client adds to each item that it shows."""


def shown_item(answer: dict[str, Any], **changed: Any) -> dict[str, Any]:
    first = answer["slate"][0]
    item = ITEM | {name: answer[name] for name in ("slate_id", "policy", "request_ts")}
    return item | {name: first[name] for name in ("post_id", "position", "propensity")} | changed


def test_impressions_and_reactions_are_acknowledged(client: TestClient) -> None:
    item = shown_item(ask(client))
    body = {"impressions": [item], "reactions": [item | {"clicked": True, "dwell_s": 12.5}]}
    answer = client.post("/v1/events", json=body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    assert client.post("/v1/events", json={}).json() == {"accepted": 0}


def test_impossible_events_are_refused(client: TestClient) -> None:
    item = shown_item(ask(client))
    now = client.get("/v1/clock").json()["now"]
    for bad, says in (
        ({"request_ts": now + 60}, "future"),
        ({"ad_id": 3}, "a post or an ad"),
        ({"post_id": -1}, "a post or an ad"),
        ({"position": -1}, "position"),
        ({"propensity": 1.5}, "propensity"),
        ({"slate_id": 2**60}, "slate_id"),
        ({"magic": 1}, "magic"),
    ):
        answer = client.post("/v1/events", json={"impressions": [item | bad]})
        assert answer.status_code == 422, bad
        assert says in answer.text
    assert client.post("/v1/events", json={"impressions": [item] * 501}).status_code in (413, 422)


def test_feed_without_a_broker_serves_undegraded_and_acknowledges_no_events(client: TestClient) -> None:
    item = shown_item(ask(client))
    client.put("/v1/faults/stream", json={"fault": "down"})
    wait_for(lambda: client.get("/readyz").json()["stream"].startswith("does not answer"), "the stream to be down")
    assert ask(client)["degraded"] == []
    for path, body in (
        ("/v1/events", {"impressions": [item]}),
        ("/v1/posts", {"posts": [{"post_id": 7 * 10**9, **POST}]}),
    ):
        refused = client.post(path, json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "send the same request again" in refused.json()["detail"]
    client.delete("/v1/faults/stream")
    wait_for(lambda: client.get("/readyz").json()["stream"] == "answers", "the stream")
    assert client.post("/v1/events", json={"impressions": [item]}).status_code == 202


POST = {"creator_id": 3, "topic": 2}


def test_randomised_slate_has_uniform_propensities_and_follows_the_seed(client: TestClient) -> None:
    knobs = {"randomised_share": 1.0, "ads": 0}
    answer = ask(client, k=5, seed=11, knobs=knobs)
    assert answer["policy"] == "uniform_v1"
    size = 1 / answer["slate"][0]["propensity"]
    np.testing.assert_allclose(
        [item["propensity"] for item in answer["slate"]], [1 / (size - place) for place in range(5)], rtol=1e-3
    )
    assert posts(answer) == posts(ask(client, k=5, seed=11, knobs=knobs)), "the seed repeats it"
    assert posts(answer) != posts(ask(client, k=5, seed=12, knobs=knobs))
    assert ask(client, seed=11)["policy"] == "ranked_v1"


def test_invalid_posts_are_refused(client: TestClient) -> None:
    good = {"post_id": 5 * 10**9, "creator_id": 3, "topic": 2}
    for bad in ({"topic": 99}, {"topic": -1}, {"post_id": "x"}, {"media": 7}, {"quality_signal": 1e9}, {"magic": 1}):
        response = client.post("/v1/posts", json={"posts": [good | bad]})
        assert response.status_code == 422, bad
        assert response.headers["content-type"] == "application/problem+json"
    assert client.post("/v1/posts", json={"posts": []}).status_code == 422


def test_post_with_the_id_of_another_post_is_refused(client: TestClient) -> None:
    """The ids of the generated history are small numbers, which clients try first."""
    number = time.time_ns() // 1000
    new = {"post_id": number, "creator_id": 3, "topic": 2, "quality_signal": 0.1}
    assert client.post("/v1/posts", json={"posts": [new]}).status_code == 202
    wait_for(lambda: client.get(f"/v1/posts/{number}").status_code == 200, "the post")
    candidate = next(post for post in posts(ask(client, knobs=PLAIN)) if post != number)
    other = {"post_id": number + 1, "creator_id": 3, "topic": 1}
    for taken, says in (
        ([other, {"post_id": 0, **POST}], "post 0 already exists and has expired"),
        ([other, {"post_id": candidate, **POST}], f"post {candidate} already exists with other content"),
        ([other, new | {"topic": 1}], f"post {number} already exists with other content"),
        ([other, other | {"topic": 2}], f"two posts with the id {number + 1}"),
    ):
        refused = client.post("/v1/posts", json={"posts": taken})
        assert (refused.status_code, refused.json()["title"]) == (409, "Conflict")
        assert says in refused.json()["detail"]
    assert client.post("/v1/posts", json={"posts": [new, new]}).json() == {"accepted": 2}, "the same post again"
    assert client.get(f"/v1/posts/{number + 1}").status_code == 404, "no post of a refused body is published"


def test_request_count_is_the_sum_of_the_outcome_counts(client: TestClient) -> None:
    ask(client)
    client.post("/v1/feed", content=b"{")
    found = counted(client)
    assert found["requests"] == sum(value for name, value in found.items() if name != "requests")
    assert found["failed"] == 0


def test_metrics_have_model_and_stages_but_no_user_ids(client: TestClient) -> None:
    ask(client, user_id=424_242)
    text = client.get("/metrics").text
    assert 'lab_model_info{name="feed_ranking-smoke"' in text
    for stage in ("query", "retrieve", "cut", "rank", "rerank"):
        assert f'lab_stage_seconds_count{{stage="{stage}"}}' in text
    assert 'le="0.2"' in text, "the budget is a bucket edge"
    assert "424242" not in text


def test_design_document_has_budgets_knobs_and_steps(client: TestClient) -> None:
    found = client.get("/v1/design").json()
    assert {budget["name"]: budget["limit"] for budget in found["budgets"]}["p99_ms"] == 200
    cap = next(knob for knob in found["knobs"] if knob["name"] == "creator_cap")
    assert (cap["low"], cap["high"], cap["unit"], cap["per_request"]) == (1, 200, "posts", True)
    hydration = next(knob for knob in found["knobs"] if knob["name"] == "hydration")
    assert hydration["choices"] == ["snapshot", "feast"]
    assert [step["name"] for step in found["steps"]] == [step.name for step in DESIGN.steps]


def test_front_page_and_docs_load_no_external_resources(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path).text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page), path
    page = client.get("/").text
    assert 'name="arg:user_id"' in page
    assert 'name="knob:creator_cap"' in page
    assert '<select name="knob:hydration">' in page
    assert "{{" not in page


def test_openapi_has_examples_and_error_responses(client: TestClient) -> None:
    feed = client.get("/openapi.json").json()["paths"]["/v1/feed"]["post"]
    assert feed["requestBody"]["content"]["application/json"]["examples"]
    assert {"200", "400", "413", "422", "503"} <= set(feed["responses"])
