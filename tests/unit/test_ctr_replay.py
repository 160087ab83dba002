"""An auction that was logged is held again bit for bit, and whatever was damaged in the log is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry

from ctr_prediction.config import SMOKE
from ctr_prediction.counting import PublicCatalogue
from ctr_prediction.domain import RANDOM_POLICY
from ctr_prediction.events import Auction
from ctr_prediction.inputs import AD_NUMBERS
from ctr_prediction.market import Market
from ctr_prediction.offline.known import cannot_tell
from ctr_prediction.offline.replay import differences_of, turned, was_missing
from ctr_prediction.online.cache import CacheMetrics, FeatureCache
from ctr_prediction.online.pipeline import CtrService, build_pipeline
from ctr_prediction.online.prediction import auction_of
from ctr_prediction.predictions import pack, unpack
from infra.clock import WorldClock
from infra.faults.switch import FaultSwitch
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import FeatureRow
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.stream.event import Codec, encode
from tests.unit.ctr_events import START
from tests.unit.ctr_market import ADS, USERS, bundle, snapshot, user

PATIENT = replace(SMOKE, serve=replace(SMOKE.serve, deadline_ms=60_000.0))
BUNDLE, KNOWN = bundle(), snapshot()
CATALOGUE = PublicCatalogue(
    pd.DataFrame({"user_id": np.arange(USERS)}),
    pd.DataFrame({"campaign_id": KNOWN.campaign, "creative_id": KNOWN.creative}),
    pd.DataFrame({"bid": KNOWN.bid}),
    pd.DataFrame(),
)
Damage = Callable[[Auction], Auction]


class Store:
    """Every third user is in an audience; those beyond the table are unknown."""

    def read_online(self, entity: int) -> FeatureRow:
        if entity >= USERS:
            return FeatureRow({}, None)
        someone = user(entity % 6, in_audience=entity % 3 == 0, seed=entity)
        when = datetime.fromtimestamp(START, UTC)
        return FeatureRow({name: values[0] for name, values in vars(someone).items()}, when, when)


@pytest.fixture(scope="module")
def service() -> CtrService:
    """The whole request path on a small market, without HTTP."""
    market, clock = Market(KNOWN, BUNDLE), WorldClock(START)
    breaker, bulkhead = CircuitBreaker("feature_store"), Bulkhead("feature_store", workers=1, queue=1)
    guarded = GuardedFeatures(Store(), breaker, bulkhead, 60_000.0, 1e9, clock)
    cache = FeatureCache(0.0, 10, CacheMetrics(CollectorRegistry()))
    pipeline = build_pipeline(guarded, cache, market, BUNDLE, FaultSwitch())
    return CtrService(pipeline, cache, market, BUNDLE, PATIENT, clock, "ctr_prediction-smoke/1")


def logged(service: CtrService, user_id: int = 3, slots: int = 4, **asked: Any) -> Auction:
    """An auction as it comes out of the stream."""
    knobs = {"reserve_cpm": 0.5, "pacing": "none", **asked.pop("knobs", {})}
    query = service.query(user_id, user_id % 5, user_id % 3, slots, knobs, seed=7 * user_id + 1, **asked)
    held = auction_of(service, service.answer(query))
    found: Auction = Codec.of(Auction).read(encode("topic", held).value)[1]
    return found


def again(auction: Auction) -> dict[str, str]:
    return differences_of(auction, BUNDLE, turned(PATIENT, auction.knobs), CATALOGUE)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"model": "teacher", "calibrated": "no"},
        {"calibrated": "no_recalibration"},
        {"position": "naive"},
        {"pricing": "first"},
        {"reserve_cpm": 20.0},
        {"randomised_share": 1.0},
        {"frequency_cap": 1, "eligible_limit": 7},
    ],
    ids=str,
)
def test_what_was_logged_comes_out_again(service: CtrService, knobs: dict[str, Any]) -> None:
    sold = 0
    for user_id in range(USERS + 2):
        auction = logged(service, user_id, 2 + user_id % 3, knobs=knobs)
        assert auction.degraded == []
        assert again(auction) == {}
        sold += len(auction.prices)
    assert sold > USERS


def test_bids_candidates_and_exclusions_of_a_request_come_out_again(service: CtrService) -> None:
    named = logged(service, bids={4: 2.5, 9: 0.01}, candidates=np.array([4, 9, 12, 1]), exclude=(12,))
    assert unpack(named.ads, "<i4").tolist() == [4, 9, 1]
    assert named.bids == {"4": 2.5, "9": 0.01}
    assert again(named) == {}
    assert again(replace(named, bids={})) != {}, "what the request said that they bid decides"


def test_a_page_on_which_nobody_may_bid_comes_out_again(service: CtrService) -> None:
    empty = logged(service, candidates=np.zeros(0, np.int64))
    assert (empty.chosen, empty.prices) == ([], [])
    assert again(empty) == {}


def next_float(value: float) -> float:
    return float(np.nextafter(value, 10.0))


def other_score(auction: Auction) -> Auction:
    scores = unpack(auction.scores, "<f4").copy()
    scores[-1] = np.nextafter(scores[-1], np.float32(1))
    return replace(auction, scores=pack(scores, "<f4"))


def other_numbers(auction: Auction) -> Auction:
    numbers = unpack(auction.numbers, "<f4", len(AD_NUMBERS))[::-1]
    return replace(auction, ads=pack(unpack(auction.ads, "<i4")[::-1], "<i4"), numbers=pack(numbers, "<f4"))


def other_user(auction: Auction) -> Auction:
    return replace(auction, user_id=auction.user_id + 3)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda one: replace(one, prices=[next_float(one.prices[0]), *one.prices[1:]]), {"prices"}),
        (lambda one: replace(one, prices=one.prices[:-1]), {"prices"}),
        (lambda one: replace(one, propensity=[0.5, *one.propensity[1:]]), {"propensity"}),
        (lambda one: replace(one, chosen=[one.chosen[1], one.chosen[0], *one.chosen[2:]]), {"chosen"}),
        (lambda one: replace(one, slots=1), {"chosen", "prices", "propensity"}),
        (lambda one: replace(one, bids={str(unpack(one.ads, "<i4")[one.chosen[0]]): 0.01}), {"chosen", "prices"}),
        (other_score, {"scores"}),
        (other_numbers, {"scores"}),
        (other_user, {"scores"}),
        (lambda one: replace(one, knobs={**one.knobs, "pricing": "first"}), {"prices"}),
        (lambda one: replace(one, knobs={**one.knobs, "calibrated": "no_recalibration"}), {"scores"}),
    ],
    ids=[
        "price", "price missing", "propensity", "order", "slots", "bid",
        "score", "ads", "user", "pricing", "calibration",
    ],
)  # fmt: skip
def test_what_is_damaged_is_named(service: CtrService, damage: Damage, named: set[str]) -> None:
    auction = logged(service)
    assert len(auction.prices) == 4
    found = again(damage(auction))
    assert named <= set(found)
    if len(named) == 1 and named != {"scores"}:  # a score decides other things, too
        assert set(found) == named


def test_how_much_a_price_moved_is_said(service: CtrService) -> None:
    auction = logged(service)
    dearer = replace(auction, prices=[auction.prices[0] + 0.25, *auction.prices[1:]])
    assert again(dearer) == {"prices": "1 of 4 moved, by at most 0.25"}
    assert again(replace(auction, prices=auction.prices[:2])) == {"prices": "2 were logged, 4 came out"}


def test_another_seed_draws_another_page_by_chance_and_is_noticed(service: CtrService) -> None:
    auction = logged(service, knobs={"randomised_share": 1.0})
    assert auction.policy == RANDOM_POLICY
    assert "chosen" in again(replace(auction, seed=auction.seed + 1))
    held = logged(service)
    assert again(replace(held, seed=held.seed + 1)) == {}, "where nothing is drawn the seed decides nothing"


def test_another_model_is_noticed(service: CtrService) -> None:
    other = replace(BUNDLE, debiased=BUNDLE.undebiased)
    auction = logged(service)
    assert "scores" in differences_of(auction, other, turned(PATIENT, auction.knobs), CATALOGUE)


def test_what_no_network_scored_and_what_is_of_ads_that_are_gone_is_left_out(service: CtrService) -> None:
    auction = logged(service)
    assert (was_missing(auction), cannot_tell(auction, CATALOGUE)) == ("", "")
    assert was_missing(replace(auction, degraded=["features_stale", "student_unavailable"])) == "student_unavailable"
    gone = replace(auction, ads=pack(np.array([ADS]), "<i4"))
    assert cannot_tell(gone, CATALOGUE)


def test_an_auction_holds_all_that_it_takes_to_hold_it_again(service: CtrService) -> None:
    """Also when it was written as text and read as such."""
    auction = logged(service)
    assert again(Auction(**orjson.loads(orjson.dumps(vars(auction))))) == {}
