"""The ETA service on a built smoke city: quotes, maps, batches, invalid requests and every fault, over ASGI."""

from __future__ import annotations

import itertools
import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from eta_prediction import config
from eta_prediction.events.history import read_graph
from eta_prediction.items.road_state import RoadState
from eta_prediction.online.app import create_app
from eta_prediction.online.bootstrap import FAULTS
from infra.build.fingerprints import CURRENT
from infra.design import with_knobs
from infra.registry.release import read_release
from infra.settings import Settings
from tests.support.containers import wait_for
from tests.support.patience import PATIENT

FROM, TO = {"node": 120}, {"node": 900}
DRIVERS = itertools.count(20)
"""drivers whose rows are not cached yet"""


@pytest.fixture(scope="module")
def city(settings: Settings) -> Settings:
    """The built smoke city."""
    return settings


@pytest.fixture(scope="module")
def client(city: Settings) -> Iterator[TestClient]:
    """No worker renews the state of the roads here, so it must stay fresh for as long as a busy machine takes."""
    patient = with_knobs(config.SMOKE, {"speeds_ttl_s": 86_000})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "PRESETS", {**config.PRESETS, "smoke": patient})
        app = create_app(city.model_copy(update=PATIENT))
    with TestClient(app, raise_server_exceptions=False, base_url="http://127.0.0.1") as opened:
        yield opened


@pytest.fixture(autouse=True)
def healthy(client: TestClient) -> Iterator[None]:
    yield
    for port in {fault.port for fault in FAULTS}:
        client.delete(f"/v1/faults/{port}")


def ask(client: TestClient, path: str = "/v1/eta", **changes: Any) -> dict[str, Any]:
    response = client.post(path, json={"origin": FROM, "destination": TO} | changes)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def refused(client: TestClient, **changes: Any) -> str:
    response = client.post("/v1/eta", json={"origin": FROM, "destination": TO} | changes)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    detail: str = response.json()["detail"]
    return detail


def metric(client: TestClient, name: str) -> float:
    """The value of one series; 0 if it is not exported yet."""
    values = re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.M)
    return float(values[0]) if values else 0.0


def test_quote_has_a_route_an_interval_and_its_stages_in_order(client: TestClient, city: Settings) -> None:
    answer = ask(client, "/v1/eta?explain=true", driver_id=7)
    assert 0 < answer["p10_min"] < answer["p50_min"] < answer["p90_min"] < 60
    assert answer["quoted_min"] == pytest.approx(answer["p50_min"])
    assert answer["degraded"] == []
    assert answer["model"] in ("network_live", "boosters_live")
    assert not answer["is_cold_start"]
    stages = list(dict.fromkeys(stage["stage"] for stage in answer["trace"]))
    assert stages == ["driver", "snap", "route", "forecast", "predict", "quote"]
    world = json.loads((city.design_root("eta_prediction") / CURRENT).read_text())["world"]
    graph = read_graph(Path(world))
    edges = np.array(answer["edges"])
    assert graph.tail[edges[0]] == FROM["node"]
    assert graph.head[edges[-1]] == TO["node"]
    np.testing.assert_array_equal(graph.head[edges[:-1]], graph.tail[edges[1:]])
    assert answer["distance_km"] == pytest.approx(graph.length_m[edges].sum() / 1000)
    line = answer["route"]["coordinates"]
    assert answer["route"]["type"] == "LineString"
    assert line[0] == pytest.approx([graph.lon[120], graph.lat[120]], abs=1e-5)
    assert len(line) == len(edges) + 1


def test_same_request_gets_the_same_quote_and_a_pooled_one_a_later(client: TestClient) -> None:
    one, other = ask(client), ask(client)
    assert one["p50_min"] == pytest.approx(other["p50_min"], abs=0.1)
    assert ask(client, ride_type="pooled")["p50_min"] > one["p50_min"] + 0.5


def test_quote_follows_its_quantile(client: TestClient) -> None:
    quoted = [ask(client, knobs={"quote_quantile": level})["quoted_min"] for level in (0.3, 0.5, 0.7)]
    assert quoted == sorted(quoted)
    assert quoted[0] < quoted[2] - 0.1


def test_explored_quotes_repeat_by_their_seed_and_log_their_propensity(client: TestClient) -> None:
    found = [ask(client, seed=seed, knobs={"explore_share": 1.0}) for seed in (1, 1, 2, 3, 4, 5)]
    assert found[0]["quoted_min"] == pytest.approx(found[1]["quoted_min"], rel=0.01)
    assert {answer["policy"] for answer in found} == {"explore_v1"}
    assert {round(answer["propensity"], 6) for answer in found} == {0.2}
    assert len({round(answer["quoted_min"] / answer["p50_min"], 3) for answer in found}) > 1


def test_alternatives_are_other_routes_timed_with_the_same_traffic(client: TestClient) -> None:
    answers = [ask(client, origin={"node": n}, destination={"node": 1850 - n}, routes=3) for n in range(0, 900, 45)]
    assert all(answer["routes"][0]["is_quoted"] for answer in answers)
    assert any(len(answer["routes"]) > 1 for answer in answers)
    for answer in answers:
        live, *others = answer["routes"]
        assert all(other["minutes"] >= live["minutes"] - 0.02 for other in others), "the live route is the fastest"
        shortest = min(route["distance_km"] for route in answer["routes"])
        assert all(r["distance_km"] == shortest for r in answer["routes"] if r["found_with"] == "distance")


def test_point_gets_the_route_of_its_nearest_node(client: TestClient) -> None:
    lon, lat = ask(client)["route"]["coordinates"][0]
    assert ask(client, origin={"lon": lon + 1e-5, "lat": lat})["edges"] == ask(client)["edges"]


def test_later_departure_uses_the_usual_traffic_of_its_hour(client: TestClient) -> None:
    now = datetime.fromisoformat(ask(client)["departure"])
    later = ask(client, departure=(now + timedelta(hours=7)).isoformat())
    assert later["model"] in ("network_static", "boosters_static")
    assert later["route_source"] == "profile"
    assert later["degraded"] == []
    assert later["p50_min"] > ask(client)["p50_min"], (
        "the history ends at night, and seven hours later is the rush hour"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"origin": {"node": 10**6}}, "the origin has no node 1000000"),
        ({"destination": {"lon": 0.0, "lat": 0.0}}, "the destination is off the map"),
        ({"departure": "soon"}, "is no time"),
        ({"departure": "2020-01-01T00:00"}, "has passed"),
        ({"origin": {"lon": 10.0}}, "a place is either lon and lat, or a node"),
        ({"ride_type": "helicopter"}, "ride_type"),
        ({"routes": 9}, "routes"),
        ({"knobs": {"quote_quantile": 2}}, "quote_quantile"),
        ({"driver": 3}, "driver"),
    ],
)
def test_invalid_request_is_refused_with_its_reason(client: TestClient, changes: dict[str, Any], text: str) -> None:
    assert text in refused(client, **changes)


def test_trip_from_a_place_to_itself_takes_the_time_at_the_kerbs(client: TestClient) -> None:
    answer = ask(client, destination=FROM)
    assert answer["edges"] == []
    assert answer["distance_km"] == 0
    assert 0 < answer["p10_min"] < answer["p90_min"] < 10


def test_unknown_driver_is_a_cold_start_and_no_error(client: TestClient) -> None:
    assert ask(client, driver_id=10**6)["is_cold_start"]
    assert ask(client)["is_cold_start"]


@pytest.mark.parametrize(
    ("port", "fault", "reason", "model", "source"),
    [
        ("traffic", "down", "traffic_unavailable", "network_static", "profile"),
        ("traffic", "stale", "traffic_stale", "network_static", "profile"),
        ("routing", "down", "routing_unavailable", "corrected_route", "great_circle"),
        ("network_live", "down", "network_live_unavailable", "corrected_route", "live"),
        ("feature_store", "down", "feature_store_unavailable", "network_live", "live"),
    ],
)
def test_fault_degrades_the_quote_and_says_why(
    client: TestClient, port: str, fault: str, reason: str, model: str, source: str
) -> None:
    healthy = ask(client, driver_id=11)
    assert client.put(f"/v1/faults/{port}", json={"fault": fault}).status_code == 200
    answer = ask(client, driver_id=next(DRIVERS), knobs={"model": "network"})
    assert reason in answer["degraded"]
    assert answer["model"] == model
    assert answer["route_source"] == source
    assert answer["p50_min"] == pytest.approx(healthy["p50_min"], rel=0.5), "the fallback is a sensible quote"
    assert answer["p10_min"] < answer["p50_min"] < answer["p90_min"]
    svg = client.post("/v1/eta/map", json={"origin": FROM, "destination": TO, "driver_id": 12})
    ET.fromstring(svg.text)


def test_map_is_a_drawing_of_the_same_route(client: TestClient) -> None:
    response = client.post("/v1/eta/map", json={"origin": FROM, "destination": TO})
    assert response.headers["content-type"].startswith("image/svg+xml")
    assert response.text.count("L") > len(ask(client)["edges"])
    assert "80 of 100 trips" in response.text
    ET.fromstring(response.text)


def test_batch_answers_every_pair_in_order_and_paths_agree_with_single_quotes(client: TestClient) -> None:
    nodes = [5, 120, 900, 1500]
    body = {"origins": [{"node": node} for node in nodes], "destination": TO}
    short, full = (client.post("/v1/eta/batch", json=body | {"paths": paths}).json() for paths in (False, True))
    for found in (short, full):
        assert len(found["quoted_min"]) == len(nodes)
        assert all(low < high for low, high in zip(found["p10_min"], found["p90_min"], strict=True))
    for place, node in enumerate(nodes):
        single = ask(client, origin={"node": node})
        assert full["quoted_min"][place] == pytest.approx(single["quoted_min"], abs=0.1)
        assert short["quoted_min"][place] == pytest.approx(single["quoted_min"], rel=0.6)


def test_batch_beyond_its_limit_is_refused(client: TestClient) -> None:
    body = {"origins": [FROM] * 501, "destination": TO}
    assert client.post("/v1/eta/batch", json=body).status_code == 422


@pytest.mark.parametrize("paths", [False, True])
def test_batch_without_an_engine_answers_by_the_great_circle_and_says_so(client: TestClient, paths: bool) -> None:
    body = {"origins": [{"node": node} for node in (5, 120, 1500)], "destination": TO, "paths": paths}
    healthy = client.post("/v1/eta/batch", json=body).json()
    client.put("/v1/faults/routing", json={"fault": "down"})
    counted = metric(client, 'lab_degraded_total{reason="routing_unavailable"}')
    found = client.post("/v1/eta/batch", json=body).json()
    assert metric(client, 'lab_degraded_total{reason="routing_unavailable"}') == counted + 1
    assert found["degraded"] == ["routing_unavailable"]
    assert found["route_source"] == "great_circle"
    for one, other in zip(found["quoted_min"], healthy["quoted_min"], strict=True):
        assert one == pytest.approx(other, rel=0.6)


def test_batch_of_shortest_routes_needs_paths(client: TestClient) -> None:
    body = {"origins": [FROM], "destination": TO, "knobs": {"found_with": "distance"}}
    refusal = client.post("/v1/eta/batch", json=body)
    assert refusal.status_code == 422
    assert "set paths to true" in refusal.json()["detail"]
    found = client.post("/v1/eta/batch", json=body | {"paths": True}).json()
    assert found["quoted_min"][0] == pytest.approx(ask(client, knobs={"found_with": "distance"})["quoted_min"], abs=0.1)


def test_batch_in_a_busy_hour_has_the_intervals_of_busy_hours(client: TestClient) -> None:
    """The history ends at 1:00. The evening has another share of P90 over P50 than the night."""
    now = datetime.fromisoformat(ask(client)["departure"])
    body = {"origins": [FROM], "destination": TO}
    night, rush = (
        client.post("/v1/eta/batch", json=body | {"departure": (now + timedelta(hours=hours)).isoformat()}).json()
        for hours in (0.5, 17)
    )
    ratio = [found["p90_min"][0] / found["quoted_min"][0] for found in (night, rush)]
    assert ratio[0] != pytest.approx(ratio[1], rel=1e-6)


def test_new_state_of_the_roads_changes_the_next_quote(client: TestClient, city: Settings) -> None:
    """A jam everywhere: the same trip takes longer, and routes are timed with the new speeds."""
    release = read_release(city.design_root("eta_prediction"))
    snapshot = Path(release.index_path) / "state.npz"
    before, state = ask(client), RoadState.read(snapshot)
    before_age_s = metric(client, "lab_traffic_age_seconds")
    assert before_age_s == pytest.approx(before["request_ts"] - state.made_ts, abs=60)
    live = city.design_root("eta_prediction") / "live"
    jam = {name: getattr(state, name) for name in vars(state)} | {
        "snapshot_id": 2,
        "made_ts": before["request_ts"],
        "forecast": np.full_like(state.forecast, 0.7),
        "observed": np.full_like(state.observed, 50.0),
    }
    try:
        RoadState(**jam).write(live / "roads.npz")
        wait_for(lambda: ask(client)["speeds_id"] == 2, "the new state of the roads")
        after = ask(client)
        assert 0 <= metric(client, "lab_traffic_age_seconds") < before_age_s
        assert metric(client, "lab_traffic_probes") == pytest.approx(50 * state.observed.size)
        assert 0 < metric(client, "lab_traffic_update_seconds") < 60
        assert after["routes"][0]["minutes"] > 1.4 * before["routes"][0]["minutes"]
        assert after["p50_min"] > before["p50_min"] + 1
    finally:
        (live / "roads.npz").unlink()


def test_traffic_of_few_vehicles_does_not_count_and_degrades_nothing(client: TestClient, city: Settings) -> None:
    state = RoadState.read(Path(read_release(city.design_root("eta_prediction")).index_path) / "state.npz")
    file = city.design_root("eta_prediction") / "live" / "roads.npz"
    few = np.full_like(state.observed, 49.0 / state.observed.size)
    try:
        replace(state, snapshot_id=70, made_ts=ask(client)["request_ts"], observed=few).write(file)
        wait_for(lambda: ask(client)["speeds_id"] == 70, "the state with few traversals")
        answer = ask(client)
        assert answer["model"] in ("network_static", "boosters_static")
        assert (answer["route_source"], answer["degraded"]) == ("profile", [])
    finally:
        file.unlink()


def test_events_off_the_map_or_from_the_future_are_refused(client: TestClient) -> None:
    now = ask(client)["request_ts"]
    upload = {"vehicle_id": 1, "trip_id": 1, "number": 0, "edges": [3], "enter_ts": [now - 60], "seconds": [10.0]}
    rain = {"at_ts": now + 3600, "rain": 1.0}
    for body, text in (
        ({"traversals": [upload | {"edges": [10**6]}]}, "there is no edge 1000000"),
        ({"traversals": [upload | {"enter_ts": [now, now]}]}, "differ in length"),
        ({"weather": [rain]}, "is in the future"),
    ):
        response = client.post("/v1/events", json=body)
        assert response.status_code == 422
        assert text in response.json()["detail"]


def test_unusable_states_of_the_roads_leave_the_last_one_in_use(client: TestClient, city: Settings) -> None:
    """A damaged file, a state of the future, and one of a larger map."""
    before = ask(client)
    state = RoadState.read(Path(read_release(city.design_root("eta_prediction")).index_path) / "state.npz")
    now, file = before["request_ts"], city.design_root("eta_prediction") / "live" / "roads.npz"
    beyond = {"incident_edge": np.array([10**6]), "incident_reported_ts": np.array([now])}
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"PK\x03\x04 no arrays")
        time.sleep(1.2)  # the watcher polls twice a second
        for number, changes in ((90, {"made_ts": now + 3600}), (91, {"made_ts": now, **beyond})):
            replace(state, snapshot_id=number, **changes).write(file)
            time.sleep(1.2)
            assert ask(client)["speeds_id"] == before["speeds_id"]
        replace(state, snapshot_id=92, made_ts=now).write(file)
        wait_for(lambda: ask(client)["speeds_id"] == 92, "the valid state after the others")
    finally:
        file.unlink(missing_ok=True)
