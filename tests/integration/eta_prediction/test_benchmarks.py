"""A round of the benchmarks against a service of a smoke city: every figure, and updates that reach the service."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from eta_prediction.design import DESIGN
from eta_prediction.evaluation.benchmarks import EtaBenchmarks, Sizes
from eta_prediction.online.app import create_app
from infra.build.fingerprints import step_paths
from infra.settings import REPOSITORY, Settings
from lab.services.ports import free_port
from tests.conftest import HOME
from tests.support.containers import wait_for
from tests.support.patience import PATIENT
from tests.support.smoke_build import copy_home

OF_THE_LAB = {"p99_ms", "capacity_per_s", "offline_s", "offline_mb", "serve_pss_mb"}
COPY = REPOSITORY / "var" / "bench"
SMALL_ROUND = Sizes(1.0, 50, 1, 3, 3, 300)


@pytest.fixture(scope="module")
def city(settings: Settings) -> Settings:
    """A copy, because updates of the traffic would reach the services of other tests of the same home."""
    copy_home(HOME, COPY)
    return settings.model_copy(update={"home": COPY})


@pytest.fixture(scope="module")
def url(city: Settings) -> Iterator[str]:
    port = free_port()
    app = create_app(city.model_copy(update=PATIENT))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the service")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def benchmarks(city: Settings, url: str) -> EtaBenchmarks:
    release = step_paths(DESIGN, city)["release"]
    return EtaBenchmarks(release, DESIGN.configuration(city.preset), url, city, SMALL_ROUND)


def test_round_measures_every_figure_of_the_design(benchmarks: EtaBenchmarks) -> None:
    with benchmarks.background():
        found = benchmarks.round()
    assert set(found) == {bound.id for bound in DESIGN.bench} - OF_THE_LAB
    assert all(0 < value < math.inf for value in found.values())


def test_service_quotes_with_the_updates_of_the_background(benchmarks: EtaBenchmarks, url: str) -> None:
    def speeds() -> int:
        answer = httpx.post(f"{url}{DESIGN.ask.path}", json=benchmarks.question(1), timeout=30).json()
        assert answer["model"].endswith("_live")
        found: int = answer["speeds_id"]
        return found

    before = speeds()
    with benchmarks.background():
        wait_for(lambda: speeds() > before, "new traffic")


def test_questions_repeat_and_few_drivers_send_many_of_them(benchmarks: EtaBenchmarks) -> None:
    drivers = [benchmarks.question(number)["driver_id"] for number in range(500)]
    assert benchmarks.question(4) == benchmarks.question(4)
    assert max(map(drivers.count, drivers)) > 50
    assert len(set(drivers)) > 25
