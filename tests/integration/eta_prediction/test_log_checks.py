"""Replay and skew of quotes: clean for what the service answered, and not clean for a planted difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.design import DESIGN
from eta_prediction.evaluation.live.recompute import Recount
from eta_prediction.evaluation.live.replay import differences_of, skip_reason
from eta_prediction.events.codec import INPUTS, inputs_of, pack
from eta_prediction.events.schemas import Quote
from eta_prediction.items.city import DEFINING, inputs_digest
from eta_prediction.model.inputs import NAMES
from eta_prediction.offline.live_trips import definition
from eta_prediction.online.bootstrap import EtaBootstrap
from eta_prediction.online.log_entry import quote_of
from eta_prediction.online.service import EtaService
from infra.build.fingerprints import CURRENT
from infra.design import with_knobs, with_known_knobs
from infra.faults.switch import FaultSwitch
from infra.prediction_log.parity import compare
from infra.registry.release import read_release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import Settings

PATIENT = with_knobs(SMOKE, {"deadline_ms": 5_000, "feature_timeout_ms": 1_000, "speeds_ttl_s": 86_000})


@pytest.fixture(scope="module")
def city(settings: Settings) -> Settings:
    """The built smoke city."""
    return settings


@pytest.fixture(scope="module")
def service(city: Settings) -> EtaService:
    breaker, bulkhead = CircuitBreaker("feature_store", open_s=1.0), Bulkhead("feature_store", workers=1, queue=1)
    shared = SharedParts(city, breaker, bulkhead, FaultSwitch())
    return EtaBootstrap(shared, PATIENT).load(read_release(city.design_root(DESIGN.name)))


def quote(service: EtaService, number: int = 0, **knobs: Any) -> Quote:
    query = service.query(number % 3, knobs, driver_id=number % 150, seed=number)
    nodes = (37 * number + 5) % 1900, (91 * number + 700) % 1900
    query, trace = service.answer(query, *nodes)
    return quote_of(service, query, trace.degraded)


def replayed(service: EtaService, logged: Quote) -> dict[str, str]:
    assert skip_reason(logged) == ""
    return differences_of(logged, service.bundle, with_known_knobs(PATIENT, logged.knobs))


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"model": "boosters"},
        {"model": "corrected_route"},
        {"calibration": "none"},
        {"without_traffic": "same_model", "fewest_probes": 100_000.0},
        {"quote_quantile": 0.7},
        {"explore_share": 1.0},
        {"explore_share": 0.5, "found_with": "profile"},
    ],
)
def test_every_quote_can_be_repeated_bit_for_bit(service: EtaService, knobs: dict[str, Any]) -> None:
    for number in range(12):
        assert replayed(service, quote(service, number, **knobs)) == {}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("quantiles", lambda logged: {"quantiles": [logged.quantiles[0], logged.quantiles[1] + 1e-9, 9e9]}),
        ("quoted_s", lambda logged: {"quoted_s": logged.quoted_s * 1.0001}),
        ("propensity", lambda logged: {"propensity": 0.5}),
        ("policy", lambda logged: {"policy": "explore_v1"}),
        ("quantiles", lambda logged: {"model": "boosters_live"}),
    ],
)
def test_replay_finds_a_planted_difference(
    service: EtaService, field: str, change: Callable[[Quote], dict[str, Any]]
) -> None:
    logged = quote(service, 4, model="network")
    assert field in replayed(service, replace(logged, **change(logged)))


def test_quote_without_a_route_is_left_out(service: EtaService) -> None:
    query, trace = service.answer(service.query(0, {}), 7, 7)
    assert "no route" in skip_reason(quote_of(service, query, trace.degraded))


def test_inputs_computed_again_are_those_that_were_served(service: EtaService, city: Settings) -> None:
    quotes = [quote(service, number) for number in range(40)]
    assert {logged.traffic for logged in quotes} == {"live"}
    assert sum(logged.driver_ts > 0 for logged in quotes) > 20
    again = Recount.read(city, PATIENT, quotes[0].speeds_ts).inputs(quotes)
    served = np.concatenate([inputs_of(logged.x) for logged in quotes])
    sides = (dict(zip(NAMES, x.T, strict=True)) for x in (served, again))
    assert compare(*sides, tolerance=1e-4) == []


def test_quote_names_the_definition_of_its_inputs_as_the_next_build_does(service: EtaService, city: Settings) -> None:
    steps = json.loads((city.design_root(DESIGN.name) / CURRENT).read_text())
    world, features = (Path(steps[name]) for name in ("world", "features"))
    named = quote(service).inputs_digest
    assert named == definition(world, features, PATIENT)
    assert named != definition(world, features, with_knobs(PATIENT, {"residual_half_life_min": 7.0}))
    files = {name: f"digest of {name}" for name in (*DEFINING, "places.npz")}
    before = inputs_digest(files, PATIENT.features)
    assert inputs_digest(files | {"places.npz": "other places"}, PATIENT.features) == before
    assert all(inputs_digest(files | {name: "other"}, PATIENT.features) != before for name in DEFINING)


@pytest.mark.parametrize("name", ["live_s", "city_residual", "driver_habit", "incidents_expected", "pick_up_s"])
def test_skew_finds_a_planted_difference(service: EtaService, city: Settings, name: str) -> None:
    logged = quote(service, 8)
    x = inputs_of(logged.x).copy()
    x[0, NAMES.index(name)] += 0.5
    planted = replace(logged, x=pack(x, INPUTS))
    again = Recount.read(city, PATIENT, planted.speeds_ts).inputs([planted])
    sides = (dict(zip(NAMES, side.T, strict=True)) for side in (inputs_of(planted.x), again))
    assert [found.feature for found in compare(*sides, tolerance=1e-4)] == [name]
