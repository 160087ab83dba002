"""Replay reproduces logged auctions bit for bit and names every damaged field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from prometheus_client import CollectorRegistry

from ctr_prediction.config import SMOKE
from ctr_prediction.domain import RANDOM_POLICY, Context
from ctr_prediction.evaluation.live.recompute import not_recomputable
from ctr_prediction.evaluation.live.replay import differences_of, replay, was_missing
from ctr_prediction.events.codec import pack, unpack
from ctr_prediction.events.history import PublicCatalogue
from ctr_prediction.events.paths import PREDICTIONS
from ctr_prediction.events.schemas import TOPICS, Auction
from ctr_prediction.events.tables import auction_rows
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.artifact import NETWORKS, Bundle, load_bundle
from ctr_prediction.model.inputs import AD_NUMBERS, DEEP, NUMERIC, WIDE
from ctr_prediction.online.cache import CacheMetrics, FeatureCache
from ctr_prediction.online.log_entry import auction_of
from ctr_prediction.online.pipeline import build_pipeline
from ctr_prediction.online.service import CtrService
from ctr_prediction.online.user import UserHydrator
from infra.design import with_known_knobs
from infra.faults.switch import FaultSwitch
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import FeatureRow
from infra.live.clock import WorldClock
from infra.prediction_log.results import Since
from infra.registry.manifest import write_manifest
from infra.registry.release import Release, read_release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.settings import Settings
from infra.stream.consumer import Received
from infra.stream.event import Codec, encode
from infra.stream.sink import ParquetSink, Table
from tests.support.ctr_events import START
from tests.support.ctr_market import ADS, BITS, PRIORS, USERS, ads_of, bundle, snapshot, student, user

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
    """Every third user is in an audience; users beyond the table are unknown."""

    def read_online(self, entity: int) -> FeatureRow:
        if entity >= USERS:
            return FeatureRow({}, None)
        someone = user(entity % 6, in_audience=entity % 3 == 0, seed=entity)
        when = datetime.fromtimestamp(START, UTC)
        return FeatureRow({name: values[0] for name, values in vars(someone).items()}, when, when)

    async def read_soon(self, entity: int) -> FeatureRow:
        return self.read_online(entity)


def service_of(model: Bundle) -> CtrService:
    """The whole request path on a small market, without HTTP."""
    market, clock = Market(KNOWN, model), WorldClock(START)
    breaker, bulkhead = CircuitBreaker("feature_store"), Bulkhead("feature_store", workers=1, queue=1)
    guarded = GuardedFeatures(Store(), breaker, bulkhead, 60_000.0, 1e9, clock)
    cache = FeatureCache(0.0, 10, CacheMetrics(CollectorRegistry()))
    someone = UserHydrator(guarded, cache, market)
    pipeline = build_pipeline(someone, market, model, FaultSwitch())
    return CtrService(pipeline, someone, cache, market, model, PATIENT, clock, "ctr_prediction-smoke/1")


@pytest.fixture(scope="module")
def service() -> CtrService:
    return service_of(BUNDLE)


def logged(service: CtrService, user_id: int = 3, slots: int = 4, **asked: Any) -> Auction:
    """Return an auction as read from the stream."""
    knobs = {"reserve_cpm": 0.5, "pacing": "none", **asked.pop("knobs", {})}
    query = service.query(user_id, user_id % 5, user_id % 3, slots, knobs, seed=7 * user_id + 1, **asked)
    held = auction_of(service, service.answer(query))
    found: Auction = Codec.of(Auction).read(encode("topic", held).value)[1]
    return found


def again(auction: Auction) -> dict[str, str]:
    return differences_of(auction, BUNDLE, with_known_knobs(PATIENT, auction.knobs), CATALOGUE)


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
def test_replay_reproduces_logged_auctions(service: CtrService, knobs: dict[str, Any]) -> None:
    sold = 0
    for user_id in range(USERS + 2):
        auction = logged(service, user_id, 2 + user_id % 3, knobs=knobs)
        assert auction.degraded == []
        assert again(auction) == {}
        sold += len(auction.prices)
    assert sold > USERS


def test_replay_reproduces_bids_candidates_and_exclusions_of_a_request(service: CtrService) -> None:
    named = logged(service, bids={4: 2.5, 9: 0.01}, candidates=np.array([4, 9, 12, 1]), exclude=(12,))
    assert unpack(named.ads, "<i4").tolist() == [4, 9, 1]
    assert named.bids == {"4": 2.5, "9": 0.01}
    assert again(named) == {}
    assert again(replace(named, bids={})) != {}, "bids of the request affect the result"


def test_replay_reproduces_a_page_without_candidates(service: CtrService) -> None:
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
def test_replay_names_damaged_fields(service: CtrService, damage: Damage, named: set[str]) -> None:
    auction = logged(service)
    assert len(auction.prices) == 4
    found = again(damage(auction))
    assert named <= set(found)
    if len(named) == 1 and named != {"scores"}:  # a score also affects other fields
        assert set(found) == named


def test_replay_reports_the_size_of_price_differences(service: CtrService) -> None:
    auction = logged(service)
    dearer = replace(auction, prices=[auction.prices[0] + 0.25, *auction.prices[1:]])
    assert again(dearer) == {"prices": "1 of 4 values differ, by at most 0.25"}
    assert again(replace(auction, prices=auction.prices[:2])) == {"prices": "2 values were logged, the replay has 4"}


def test_replay_detects_another_seed_on_randomised_pages(service: CtrService) -> None:
    auction = logged(service, knobs={"randomised_share": 1.0})
    assert auction.policy == RANDOM_POLICY
    assert "chosen" in again(replace(auction, seed=auction.seed + 1))
    held = logged(service)
    assert again(replace(held, seed=held.seed + 1)) == {}, "the seed has no effect without a random draw"


def test_replay_detects_another_model(service: CtrService) -> None:
    other = replace(BUNDLE, debiased=BUNDLE.undebiased)
    auction = logged(service)
    assert "scores" in differences_of(auction, other, with_known_knobs(PATIENT, auction.knobs), CATALOGUE)


def test_replay_skips_auctions_without_scores_or_with_removed_ads(service: CtrService) -> None:
    auction = logged(service)
    assert (was_missing(auction), not_recomputable(auction, CATALOGUE)) == ("", "")
    assert was_missing(replace(auction, degraded=["features_stale", "student_unavailable"])) == "student_unavailable"
    gone = replace(auction, ads=pack(np.array([ADS]), "<i4"))
    assert not_recomputable(gone, CATALOGUE)


def test_logged_auction_contains_all_inputs_of_a_replay(service: CtrService) -> None:
    """Also after a round trip through JSON."""
    auction = logged(service)
    assert again(Auction(**orjson.loads(orjson.dumps(vars(auction))))) == {}


def write_network(path: Path, width: int, seed: int) -> None:
    """Write a linear network as ONNX."""
    weight = np.random.default_rng(seed).normal(0, 0.2, (width, 1)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["z"]),
    ]
    constants = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([1]), "axis")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "linear", [x], [z], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def built(tmp_path: Path) -> Settings:
    """Everything that a replay reads except the log: the catalogue, and a release with its model on disk."""
    settings = Settings(home=tmp_path, preset="smoke")
    root = settings.design_root("ctr_prediction")
    model, world, release = (root / name for name in ("model", "world", "release"))
    for directory in (model, world, release):
        directory.mkdir(parents=True)
    context, someone = Context.one(0, 0, START), user(0, in_audience=False)
    ads = ads_of(KNOWN, KNOWN.stats)
    all_ads = np.arange(ADS)
    width = BUNDLE.debiased.inputs_of(np.array([0]), someone, all_ads, ads, context, np.zeros(ADS, np.int64)).shape[1]
    for seed, name in enumerate(NETWORKS):
        write_network(model / f"{name}.onnx", width, seed)
    for name in ("debiased", "undebiased"):
        tables: dict[str, Any] = dict(getattr(BUNDLE, name).tables)
        np.savez(model / f"{name}.npz", **tables)
    student(width).write(model / "student.npz")
    meta = {
        "numeric": list(NUMERIC),
        "tables": [*DEEP, *WIDE],
        "inputs": width,
        "priors": {name: asdict(PRIORS) for name in ("debiased", "undebiased")},
        "examination": {name: BUNDLE.debiased.examination.tolist() for name in ("debiased", "undebiased")},
        "curves": {name: {"method": "platt", "x": [0.9], "y": [-0.2]} for name in NETWORKS},
        "negative_rate": 0.1,
        "cross_bits": BITS,
        "user_cross": "audience",
    }
    digest = write_manifest(model, meta).digest
    for name in ("people", "ads", "campaigns", "publishers"):
        getattr(CATALOGUE, name).to_parquet(world / f"{name}.parquet")
    Release("ctr_prediction", "ctr_prediction-smoke", 1, digest, str(model), "", "", START).write(release)
    (root / "current.json").write_text(json.dumps({"world": str(world), "release": str(release)}))
    return settings


def write_log(settings: Settings, auctions: list[Auction]) -> None:
    """Replace the log, written with the sink of the worker."""
    live = settings.design_root("ctr_prediction") / "live"
    shutil.rmtree(live, ignore_errors=True)
    sink = ParquetSink(live, {TOPICS.auctions: Table(PREDICTIONS, auction_rows, "auction_id")}, lambda: START)
    sink.resume("1")
    sink.apply([Received(one, TOPICS.auctions, 0, at, 0.0) for at, one in enumerate(auctions)])


def test_replay_of_a_log_on_disk_uses_its_model_and_reports_a_damaged_price(
    built: Settings,
) -> None:
    root = built.design_root("ctr_prediction")
    whole = read_release(root)
    loaded = load_bundle(Path(whole.model_path), whole.model_digest)
    server = service_of(loaded)
    auctions = [logged(server, user_id, knobs={"model": ("student", "teacher")[user_id % 2]}) for user_id in range(12)]
    assert sum(len(one.prices) for one in auctions) > 24
    write_log(built, auctions)
    found = replay(built, Since(), 100, lambda share, text: None)
    assert (found.rows, found.checked, found.differing, found.left_out) == (12, 12, 0, {})
    assert found.models == {"ctr_prediction-smoke/1": 12}

    damaged = replace(auctions[5], prices=[next_float(auctions[5].prices[0]), *auctions[5].prices[1:]])
    missing = replace(auctions[7], degraded=["teacher_unavailable"])
    write_log(built, [*auctions[:5], damaged, auctions[6], missing, *auctions[8:]])
    found = replay(built, Since(), 100, lambda share, text: None)
    assert (found.rows, found.checked, found.differing) == (12, 11, 1)
    assert [(one.prediction, one.field) for one in found.differences] == [(damaged.event_id, "prices")]
    assert found.left_out == {"teacher_unavailable": 1}

    network = Path(whole.model_path) / "student.npz"
    network.write_bytes(network.read_bytes()[:-1] + b"!")
    found = replay(built, Since(), 100, lambda share, text: None)
    assert (found.rows, found.checked, found.differing) == (12, 0, 0), "a damaged model checks no prediction"
    assert sum(found.left_out.values()) == 12
