"""Two replicas of a service share its port: one that dies or hangs loses no later request, and both learn the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import httpx
import psutil
import pytest

from infra.registry.release import read_release
from infra.settings import Settings
from lab.bench.steady_load import CLIENTS, steady_load
from lab.services.client import request
from tests.conftest import HOME
from tests.e2e.conftest import REPLICAS_HOME, Lab, running_until_the_end, start_lab
from tests.support.releases import point_to
from tests.support.smoke_build import copy_home
from tests.support.waiting import until

ASK = {"user_id": 7, "k": 10}


@pytest.fixture(scope="module")
def twins(settings: Settings) -> Iterator[Lab]:
    copy_home(HOME, REPLICAS_HOME)
    yield from running_until_the_end(start_lab(REPLICAS_HOME, replicas=2))


def ready_versions(lab: Lab) -> list[str]:
    """The model version of each replica that answers at its own address."""
    found = []
    for url in lab.replica_urls:
        try:
            found.append(str(request("GET", f"{url}/readyz", timeout=30).json()["model_version"]))
        except (httpx.HTTPError, KeyError):
            continue
    return found


def is_found(url: str) -> bool:
    return request("GET", url, timeout=30).status_code == 200


def degraded(url: str) -> list[str]:
    found: list[str] = request("POST", f"{url}/v1/feed", json=ASK, timeout=30).json()["degraded"]
    return found


def test_killed_replica_loses_no_request_but_those_in_flight_and_is_replaced(twins: Lab) -> None:
    killed = twins.pid_of("feed_ranking-2")
    with steady_load(f"{twins.url}/v1/feed", ASK) as load:
        until(lambda: len(load.sent) > 30, "requests to both replicas")
        begin = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        # its connections close when its last thread ends, which is later than its first one; then it can be reaped
        until(lambda: not psutil.pid_exists(killed), "the end of the process and of its connections")
        end = time.monotonic()
        until(lambda: len(ready_versions(twins)) == 2, "a new replica")
        until(lambda: len(load.since(end)) > 30, "requests after the kill")
    assert twins.pid_of("feed_ranking-2") != killed
    assert set(load.failed()) <= set(load.between(begin, end)), "only requests in flight fail"
    assert len(load.failed()) <= CLIENTS


def test_stopped_replica_gets_no_new_connection_and_is_replaced(twins: Lab) -> None:
    stopped = twins.service_pid
    os.kill(stopped, signal.SIGSTOP)
    answers = [request("POST", f"{twins.url}/v1/feed", json=ASK, timeout=30).status_code for _ in range(20)]
    assert answers == [200] * 20
    until(lambda: not psutil.pid_exists(stopped), "the end of the replica that hangs")
    until(lambda: twins.has_new_process(stopped), "the new process in `lab status`")
    until(lambda: len(ready_versions(twins)) == 2, "a new replica")


def test_release_swap_under_load_fails_no_request(twins: Lab) -> None:
    settings = Settings(home=REPLICAS_HOME, preset="smoke")
    release = read_release(settings.design_root("feed_ranking"))
    version = f"{release.model_name}/1007"
    with steady_load(f"{twins.url}/v1/feed", ASK) as load:
        until(lambda: len(load.sent) > 30, "requests before the swap")
        point_to(settings, replace(release, model_version=1007))
        until(lambda: ready_versions(twins) == [version, version], "the new model in both replicas")
        swapped = time.monotonic()
        until(lambda: len(load.since(swapped)) > 30, "requests after the swap")
    assert load.failed() == []


def test_both_replicas_learn_of_a_new_post(twins: Lab) -> None:
    post = {"post_id": 3 * 10**9, "creator_id": 3, "topic": 2}

    def is_published() -> bool:
        return request("POST", f"{twins.url}/v1/posts", json={"posts": [post]}, timeout=30).status_code == 202

    until(is_published, "the stream")
    for url in twins.replica_urls:
        place = f"{url}/v1/posts/{post['post_id']}"
        until(partial(is_found, place), f"the post at {url}")


def test_a_breaker_belongs_to_one_replica_and_lab_fault_reaches_both(twins: Lab) -> None:
    first, second = twins.replica_urls
    request("PUT", f"{second}/v1/faults/feature_store", json={"fault": "down"})
    until(lambda: bool(degraded(second)) and "open" in breakers(second), "the open breaker of one replica")
    assert "open" not in breakers(first)
    assert degraded(first) == [], "the other replica still reads the store"
    active = [row for row in twins.run("fault", "feed_ranking", "--json", parse=True) if row["active"]]
    assert [row["replica"] for row in active] == ["feed_ranking-2"]
    with twins.fault("feature_store", "down"):
        assert all(degraded(url) for url in (first, second))
    for url in (first, second):
        assert not any(row["active"] for row in request("GET", f"{url}/v1/faults").json())


def breakers(url: str) -> list[str]:
    return list(request("GET", f"{url}/readyz", timeout=30).json()["breakers"].values())
