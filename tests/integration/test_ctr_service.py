"""The ads service handles valid and invalid requests, budgets, frequency caps and faults, tested over ASGI."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from ctr_prediction.config import SMOKE
from ctr_prediction.design import DESIGN
from ctr_prediction.items.live_counts import LiveStats
from ctr_prediction.online.app import create_app
from ctr_prediction.online.bootstrap import FAULTS, CtrBootstrap
from ctr_prediction.online.cache import CacheMetrics, FeatureCache
from ctr_prediction.online.score_api import MOST_PAGES, MOST_ROWS, ScoreRequest, score_rows
from ctr_prediction.online.service import CtrService
from infra.faults.switch import FaultSwitch
from infra.feature_store.port import FeatureRow, OnlineFeatures
from infra.registry.release import read_release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.event_intake import MAX_ID
from infra.serving.shared import SharedParts
from infra.settings import Settings
from tests.support.containers import wait_for
from tests.support.harness import PATIENCE_MS, load_ctr
from tests.support.patience import PATIENT
from tests.support.stream import embedded_for

RANK, SCORE = "/v1/ads/rank", "/v1/ads/score"


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with (
        embedded_for(settings),
        TestClient(create_app(settings.model_copy(update=PATIENT)), raise_server_exceptions=False) as opened,
    ):
        wait_for(lambda: opened.get("/readyz").json()["stream"] == "answers", "the stream")
        yield opened


@pytest.fixture(autouse=True)
def healthy(client: TestClient) -> Iterator[None]:
    yield
    for port in {fault.port for fault in FAULTS}:
        client.delete(f"/v1/faults/{port}")
    wait_for(lambda: not ask(client, user_id=int(time.monotonic() * 1000) % 10**9)["degraded"], "recovery")


def score(client: TestClient, *rows: dict[str, Any]) -> dict[str, Any]:
    response = client.post(SCORE, json={"rows": rows})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@dataclass(frozen=True)
class _RecordingStore:
    """A feature store that records the entity ids of each batch read."""

    inner: OnlineFeatures
    asked: list[list[int]]

    def read_online(self, entity_id: int) -> FeatureRow:
        raise AssertionError("one by one")

    async def read_soon(self, entity_id: int) -> FeatureRow:
        raise AssertionError("one by one")

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        self.asked.append(list(entity_ids))
        return self.inner.read_many(entity_ids)


@pytest.fixture
def service(settings: Settings) -> CtrService:
    return load_ctr(settings)[0]


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post(RANK, json={"user_id": 7} | body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_fast_path_and_framework_path_return_the_same_auction(client: TestClient) -> None:
    for user in (3, 10**9):
        quick = ask(client, user_id=user, seed=5)
        again = client.post(f"{RANK}?explain=true", json={"user_id": user, "seed": 5}).json()
        for name in ("slate", "seed", "policy", "bidders", "is_cold_start", "degraded"):
            if name == "slate":  # scores may differ: time passes between the two requests
                assert [won["ad_id"] for won in quick[name]] == [won["ad_id"] for won in again[name]]
            else:
                assert quick[name] == again[name]
        assert {entry["stage"] for entry in again["trace"]} >= {"query", "target", "filter", "predict", "auction"}


def test_auction_slots_are_in_order_and_no_price_exceeds_its_bid(client: TestClient) -> None:
    for user in range(30):
        answer = ask(client, user_id=user, slots=4)
        slate = answer["slate"]
        assert answer["degraded"] == []
        assert [won["slot"] for won in slate] == list(range(len(slate)))
        assert len({won["ad_id"] for won in slate}) == len(slate)
        for won in slate:
            assert 0 < won["price"] <= won["bid"]
            assert 0 < won["p_click"] < 1
            assert won["ecpm"] == pytest.approx(1000 * won["p_click"] * won["bid"])
            assert won["ecpm"] >= 1000 * SMOKE.auction.reserve_cpm / 1000 * 0.99


def test_reserve_price_leaves_slots_empty(client: TestClient) -> None:
    assert len(ask(client, knobs={"reserve_cpm": 0.0})["slate"]) == 4
    assert ask(client, knobs={"reserve_cpm": 1000.0})["slate"] == []


def test_second_price_follows_the_next_ad_and_first_price_equals_the_bid(client: TestClient) -> None:
    bids = [{"ad_id": ad, "bid": 1.0} for ad in (1, 2, 3)]
    quiet = {"pacing": "none", "frequency_cap": 1000, "reserve_cpm": 0.0}
    won = ask(client, slots=3, candidates=bids, knobs=quiet)["slate"]
    alone = ask(client, slots=1, candidates=[{"ad_id": won[0]["ad_id"], "bid": 1.0}], knobs=quiet)["slate"]
    assert alone[0]["price"] == 0.0, "there is no competitor and no reserve price"
    # the second ad's score in the first slot: its bid times its click probability there
    p = score(client, *({"user_id": 7, "ad_id": item["ad_id"]} for item in won))["p_click"]
    assert won[0]["price"] == pytest.approx(p[1] / p[0], rel=1e-5)
    first = ask(client, slots=3, candidates=bids, knobs=quiet | {"pricing": "first"})["slate"]
    assert [item["price"] for item in first] == [1.0, 1.0, 1.0]


def test_scores_equal_those_of_the_auction_and_fall_with_the_slot(client: TestClient) -> None:
    slate = ask(client)["slate"]
    by_slot = [
        score(client, *({"user_id": 7, "ad_id": won["ad_id"], "slot": slot} for won in slate))["p_click"]
        for slot in range(4)
    ]
    for won in slate:
        assert by_slot[won["slot"]][won["slot"]] == pytest.approx(won["p_click"], rel=1e-5)
    assert all(a > b for upper, lower in itertools.pairwise(by_slot) for a, b in zip(upper, lower, strict=True))


def test_batch_scores_equal_single_row_scores(service: CtrService) -> None:
    rng = np.random.default_rng(4)
    rows = [
        {
            "user_id": int(rng.integers(0, 40)),
            "ad_id": int(rng.integers(0, 100)),
            "slot": int(rng.integers(0, 4)),
            "context": {"publisher_id": int(rng.integers(0, 3)), "device": str(rng.choice(["phone", "desktop"]))},
        }
        for _ in range(60)
    ]
    asked = ScoreRequest.model_validate({"rows": rows}).rows
    together = score_rows(service, asked, {})
    assert together.trace.degraded == []
    alone = [score_rows(service, [row], {}).p_click[0] for row in asked]
    np.testing.assert_allclose(together.p_click, alone, rtol=1e-4)
    assert len(set(together.p_click)) > 50


def test_uncached_users_are_read_in_one_batch_and_cached_users_not_at_all(service: CtrService) -> None:
    asked: list[list[int]] = []
    store, cache = service.user.features, FeatureCache(60.0, 100, CacheMetrics(CollectorRegistry()))
    user = replace(service.user, features=replace(store, inner=_RecordingStore(store.inner, asked)), cache=cache)
    service = replace(service, user=user, pipeline=replace(service.pipeline, query_hydrators=[user]))
    rows = [{"user_id": user, "ad_id": 1} for user in (3, 4, 5, 4, 999_999)]
    found = score_rows(service, ScoreRequest.model_validate({"rows": rows}).rows, {})
    assert asked == [[3, 4, 5, 999_999]]
    assert found.cold_users == [999_999]
    score_rows(service, ScoreRequest.model_validate({"rows": [*rows, {"user_id": 6, "ad_id": 1}]}).rows, {})
    assert asked[1:] == [[6]]


def test_scores_without_the_feature_store_use_cached_rows_and_are_degraded(client: TestClient) -> None:
    rows = [{"user_id": user, "ad_id": 1} for user in (411, 412)]
    before = score(client, rows[0])
    client.put("/v1/faults/feature_store", json={"fault": "down"})
    after = score(client, *rows)
    assert after["p_click"][0] == pytest.approx(before["p_click"][0], rel=1e-3), "cached"
    assert after["degraded"][0] in ("feature_store_unavailable", "breaker_open")
    assert after["cold_users"] == [412]
    assert after["feature_age_s"] > 0


def test_unknown_user_and_publisher_get_a_cold_start_slate(client: TestClient) -> None:
    for user in (999_999, MAX_ID):
        answer = ask(client, user_id=user, context={"publisher_id": MAX_ID, "device": "tablet"})
        assert answer["is_cold_start"]
        assert answer["degraded"] == []
        assert answer["slate"]


def test_same_seed_draws_the_same_random_slate(client: TestClient) -> None:
    pages = [ask(client, seed=5, knobs={"randomised_share": 1.0}) for _ in range(2)]
    assert pages[0]["policy"] == "uniform_v1"
    assert [won["ad_id"] for won in pages[0]["slate"]] == [won["ad_id"] for won in pages[1]["slate"]]
    bidders = pages[0]["bidders"]
    for slot, won in enumerate(pages[0]["slate"]):
        assert won["propensity"] == pytest.approx(1 / (bidders - slot))


def test_every_request_time_knob_reaches_a_stage(service: CtrService) -> None:
    for knob in DESIGN.knobs("smoke"):
        if knob.per_request:
            value = knob.choices[-1] if knob.choices else knob.high
            query = service.query(7, 0, 0, 4, {knob.name: value})
            assert getattr(getattr(query, knob.stage), knob.name) == value


BAD: dict[str, tuple[str, Any]] = {
    "no user": (RANK, {}),
    "a negative user": (RANK, {"user_id": -1}),
    "a user beyond what JSON keeps": (RANK, {"user_id": 2**53}),
    "text for a user": (RANK, {"user_id": "7"}),
    "no slots": (RANK, {"user_id": 7, "slots": 0}),
    "too many slots": (RANK, {"user_id": 7, "slots": 5}),
    "an unknown device": (RANK, {"user_id": 7, "context": {"device": "toaster"}}),
    "an unknown field": (RANK, {"user_id": 7, "colour": "red"}),
    "no candidates": (RANK, {"user_id": 7, "candidates": []}),
    "an unknown ad": (RANK, {"user_id": 7, "candidates": [{"ad_id": 10**6}]}),
    "an ad twice": (RANK, {"user_id": 7, "candidates": [{"ad_id": 1}, {"ad_id": 1}]}),
    "a negative bid": (RANK, {"user_id": 7, "candidates": [{"ad_id": 1, "bid": -1}]}),
    "a knob out of range": (RANK, {"user_id": 7, "knobs": {"reserve_cpm": -1}}),
    "an unknown knob": (RANK, {"user_id": 7, "knobs": {"magic": 1}}),
    "nothing to score": (SCORE, {"rows": []}),
    "a row without a user": (SCORE, {"rows": [{"ad_id": 1}]}),
    "an unknown ad to score": (SCORE, {"rows": [{"user_id": 7, "ad_id": ad} for ad in (1, 10**6)]}),
    "a slot that is not there": (SCORE, {"rows": [{"user_id": 7, "ad_id": 1, "slot": 4}]}),
    "too many rows": (SCORE, {"rows": [{"user_id": 7, "ad_id": 1}] * (MOST_ROWS + 1)}),
    "too many users": (SCORE, {"rows": [{"user_id": user, "ad_id": 1} for user in range(MOST_PAGES + 1)]}),
}


@pytest.mark.parametrize("path_and_body", BAD.values(), ids=BAD)
def test_invalid_request_is_refused_with_a_detail(client: TestClient, path_and_body: tuple[str, Any]) -> None:
    path, body = path_and_body
    response = client.post(path, json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.json()["detail"]) > 10


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_non_finite_numbers_are_refused(client: TestClient, number: str) -> None:
    body = f'{{"user_id": 7, "candidates": [{{"ad_id": 1, "bid": {number}}}]}}'
    response = client.post(RANK, content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_malformed_or_oversized_body_is_refused(client: TestClient) -> None:
    assert client.post(RANK, content=b"{", headers={"content-type": "application/json"}).status_code in (400, 422)
    huge = json.dumps({"user_id": 7, "exclude": [MAX_ID] * 10_000})
    assert client.post(RANK, content=huge, headers={"content-type": "application/json"}).status_code == 413


def test_longer_deadlines_wait_for_a_slow_feature_store(client: TestClient) -> None:
    """The delay exceeds the design's own timeout, and the service runs with a deadline factor."""
    delay_s = 1.5 * SMOKE.serve.feature_timeout_ms / 1000
    client.put("/v1/faults/feature_store", json={"fault": "slow", "delay_s": delay_s}).raise_for_status()
    uncached = ask(client, user_id=501)
    assert (uncached["degraded"], uncached["is_cold_start"]) == ([], False)


def test_auction_without_the_feature_store_uses_the_cache_or_segment_defaults(client: TestClient) -> None:
    cached = ask(client, user_id=3)
    client.put("/v1/faults/feature_store", json={"fault": "down"})
    again = ask(client, user_id=3)
    assert again["degraded"] == [], "the user's row is cached"
    assert again["feature_age_s"] >= cached["feature_age_s"]
    uncached = ask(client, user_id=500)
    assert uncached["degraded"][0] in ("feature_store_unavailable", "breaker_open")
    assert uncached["is_cold_start"]
    assert uncached["slate"], "the auction uses the defaults of the user's segment"


def test_cached_row_past_its_ttl_is_reread_and_degrades_if_the_read_fails(settings: Settings) -> None:
    faults, breaker = FaultSwitch(), CircuitBreaker("feature_store", open_s=60)
    config = replace(SMOKE, serve=replace(SMOKE.serve, deadline_ms=PATIENCE_MS, feature_timeout_ms=PATIENCE_MS))
    metrics = CacheMetrics(CollectorRegistry())
    shared = SharedParts(settings, breaker, Bulkhead("feature_store", workers=2, queue=2), faults)
    bootstrap = CtrBootstrap(shared, config, metrics)
    service = bootstrap.load(read_release(settings.design_root(DESIGN.name)))
    clock = [1000.0]
    service.cache.clock = lambda: clock[0]
    first = service.answer(service.query(3, 0, 0, 4, {}))
    clock[0] += SMOKE.cache.cache_ttl_s + 1
    faults.inject("feature_store", "down", 0.0)
    stale = service.answer(service.query(3, 0, 0, 4, {}))
    assert stale.degraded == ["feature_store_unavailable"]
    assert stale.query.feature_age_s == pytest.approx(SMOKE.cache.cache_ttl_s + 1)
    assert not stale.query.is_cold, "the stale row is used"
    np.testing.assert_array_equal(stale.query.user.seen_ads, first.query.user.seen_ads)
    assert metrics.lookups.labels("stale")._value.get() == 1


def test_auction_without_the_network_ranks_by_past_click_rates(client: TestClient) -> None:
    client.put("/v1/faults/student", json={"fault": "down"})
    answer = ask(client)
    assert answer["degraded"] == ["student_unavailable"]
    assert len(answer["slate"]) == 4
    assert ask(client, knobs={"model": "teacher"})["degraded"] == []


def test_campaign_that_spent_its_daily_budget_leaves_the_auction(service: CtrService) -> None:
    market = service.market
    old, snapshot = market.snapshot.stats, market.snapshot
    query = service.query(7, 0, 0, 4, {}, seed=1)
    rich = service.answer(query).ranked
    campaign = int(snapshot.campaign[rich.ids[0]])
    spent = np.zeros_like(old.spent)
    spent[campaign] = snapshot.budget[campaign]
    assert market.apply(
        LiveStats(old.stats_ts + 1, old.ad_shown, old.ad_clicks, old.campaign_shown, old.campaign_clicks, spent)
    )
    for knobs in ({}, {"pacing": "none"}):
        bidders = service.answer(service.query(7, 0, 0, 4, knobs, seed=1)).ranked.ids
        assert campaign not in snapshot.campaign[bidders], "its daily budget is spent"
    assert not market.apply(old), "older counts are ignored"


def test_frequency_cap_excludes_ads_that_the_user_saw_today(service: CtrService) -> None:
    for user in range(200):
        query = service.pipeline.query_hydrators[0].hydrate(service.query(user, 0, 0, 4, {"frequency_cap": 1}, seed=1))
        capped = query.user.seen_ads[0][query.user.seen_today[0] >= 1]
        if len(capped):
            outcome = service.answer(service.query(user, 0, 0, 4, {"frequency_cap": 1, "eligible_limit": 5000}, seed=1))
            assert not set(capped.tolist()) & set(outcome.ranked.ids.tolist())
            return
    raise AssertionError("no user has an impression on the last day")


def test_valid_events_are_acknowledged_and_impossible_events_are_refused(client: TestClient) -> None:
    answer = ask(client)
    won = answer["slate"][0]
    click = {
        "auction_id": answer["auction_id"],
        "user_id": 7,
        "request_ts": answer["request_ts"],
        **{name: won[name] for name in ("slot", "ad_id", "price")},
    }
    shown = click | {"publisher_id": 0, "device": 0, "policy": answer["policy"]}
    shown |= {name: won[name] for name in ("campaign_id", "seen", "bid", "p_click", "propensity")}
    response = client.post("/v1/events", json={"impressions": [shown], "clicks": [click]})
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    for wrong in ({"ad_id": 10**6}, {"price": -1}, {"request_ts": answer["request_ts"] + 10**6}, {"slot": 99}):
        assert client.post("/v1/events", json={"clicks": [click | wrong]}).status_code == 422, wrong


def test_cache_metrics_count_hits(client: TestClient) -> None:
    def hits() -> float:
        lines = client.get("/metrics").text.splitlines()
        return next(
            float(line.split()[-1])
            for line in lines
            if line.startswith('lab_feature_cache_lookups_total{result="hit"}')
        )

    before = hits()
    ask(client, user_id=11)
    ask(client, user_id=11)
    assert hits() >= before + 1
