"""Every service and every worker refuses requests with a foreign `Host` header."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from infra.design import Design, resolve
from infra.settings import Settings
from infra.stream.worker import create_worker
from lab.designs import load_designs
from tests.contracts.test_compose import raw

FOREIGN = ("evil.example", "evil.example:8010", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "")
OWN = ("127.0.0.1:8010", "localhost:8010", "LOCALHOST", "[::1]:8010", "feed:8010")
DESIGNS = load_designs()


def settings_of(home: Path) -> Settings:
    return Settings(home=home, preset="smoke", allowed_hosts=("feed",))


@pytest.fixture(scope="module", params=DESIGNS, ids=str)
def design(request: pytest.FixtureRequest) -> Design:
    found: Design = request.param
    return found


@pytest.fixture(scope="module")
def service(design: Design, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A client of an app that is not started: the app checks the header before it needs a release."""
    app: ASGIApp = resolve(design.app)(settings_of(tmp_path_factory.mktemp("home")))
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def worker(design: Design, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return TestClient(create_worker(design, settings_of(tmp_path_factory.mktemp("home"))))


def routes(service: TestClient) -> list[tuple[str, str]]:
    described = service.get("/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, methods in described.items() for method in methods]
    return [*found, ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nowhere")]


@pytest.mark.parametrize("host", FOREIGN)
def test_service_refuses_a_foreign_host_on_every_route(service: TestClient, host: str) -> None:
    every = routes(service)
    assert ("PUT", "/v1/faults/{port}") in every
    for method, path in every:
        answer = service.request(method, path.replace("{port}", "feature_store"), headers={"host": host})
        assert answer.status_code == 421, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 421


def test_foreign_host_cannot_inject_a_fault(service: TestClient) -> None:
    fault = {"fault": "down", "delay_s": 0.1}
    refused = service.put("/v1/faults/feature_store", json=fault, headers={"host": "evil.example"})
    assert refused.status_code == 421
    assert not any(row["active"] for row in service.get("/v1/faults").json())


def test_fast_path_refuses_a_foreign_host(service: TestClient, design: Design) -> None:
    refused = service.post(design.ask.path, json=design.ask.example(), headers={"host": "evil.example"})
    assert refused.status_code == 421


@pytest.mark.parametrize("host", OWN)
def test_service_and_worker_accept_their_own_host_names(service: TestClient, worker: TestClient, host: str) -> None:
    assert [client.get("/healthz", headers={"host": host}).status_code for client in (service, worker)] == [200, 200]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nowhere"])
def test_worker_refuses_a_foreign_host_on_every_route(worker: TestClient, host: str, path: str) -> None:
    assert worker.get(path, headers={"host": host}).status_code == 421


def test_worker_accepts_its_own_ip_address_and_refuses_another(worker: TestClient) -> None:
    """Prometheus scrapes the containers of the ads by IP address."""
    client = TestClient(worker.app, base_url="http://172.18.0.5:8021")
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={"host": "172.18.0.6:8021"}).status_code == 421


def test_containers_of_services_and_workers_allow_their_own_name() -> None:
    for name, service in raw()["services"].items():
        if service.get("command", [""])[0] in ("serve", "work"):
            assert service["environment"]["LAB_ALLOWED_HOSTS"] == name
