"""`docker compose up` as a user meets it, from nothing: it says that it waits, serves, is watched, survives, and goes.

In a project and on ports of its own, in the order of this file. `make compose-test` runs it; it needs a Docker engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.settings import REPOSITORY
from lab.services.composing import Stack
from tests.contracts.test_monitoring import queries
from tests.support.telling import new_post, telling, written
from tests.support.tries import BROKEN, broken_by_speed_alone, conclusive_run

ASK = {"user_id": 7, "k": 10}
PROJECT = "lab-compose-test"
STORE, STREAM, ADS = (("--rate", rate) for rate in ("40", "25", "60"))
"""Request rates of the drills. All containers, their tests and the load share two cores. The drill of the stream starts
a JVM, which takes both cores for seconds. The drill of the ads stops all containers that the ads do not need."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    found = Stack(PROJECT)
    found.down()  # what a killed run may have left
    yield found
    found.down()


def lab(stack: Stack, *words: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(
        command, cwd=REPOSITORY, env=stack.environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def measured(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that measures speed, repeated while it is inconclusive; it printed JSON."""
    return conclusive_run(lambda: lab(stack, *words, "--json", timeout_s=500))


def asked(stack: Stack, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/query", params={"query": query}, timeout=5).json()
    assert answer["status"] == "success", answer
    rows: list[dict[str, Any]] = answer["data"]["result"]
    return rows


def prometheus_is_ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.prometheus_url}/-/ready", timeout=5).is_success
    except httpx.HTTPError:
        return False


def watched(stack: Stack) -> set[str]:
    """The targets that are up."""
    return {row["metric"]["instance"] for row in asked(stack, "up") if float(row["value"][1]) == 1}


def empty(stack: Stack, design: str) -> list[str]:
    """What the design's dashboard asks for and Prometheus knows nothing of."""
    return [query for query in queries(design) if not asked(stack, query)]


def ready(stack: Stack) -> dict[str, Any]:
    try:
        response = httpx.get(f"{stack.url}/readyz", timeout=5)
    except httpx.HTTPError:
        return {}
    return response.json() | {"code": response.status_code}


@pytest.mark.timeout(1200)
def test_it_says_that_it_waits_and_a_build_that_was_stopped_goes_on(stack: Stack) -> None:
    stack.compose("up", "--build", "--detach", timeout_s=900)
    stack.await_(lambda: "code" in ready(stack), "any answer of the feed", 60)
    assert ready(stack)["code"] == 503
    assert "no release is loaded yet: feed_ranking has not been built" in ready(stack)["detail"]
    answer = httpx.post(f"{stack.url}/v1/feed", json=ASK, timeout=5)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    stack.await_(lambda: "2/9" in stack.compose("logs", "build"), "the second step of the build", 120)

    started = time.monotonic()
    stack.compose("stop")
    assert time.monotonic() - started < 10
    stack.compose("up", "--detach")
    stack.await_(stack.is_settled, "everything healthy, the build ended", 300)
    log = stack.compose("logs", "--no-log-prefix", "build")
    assert "world           up to date" in log.rpartition("1/9")[2]


def test_a_slate_comes_whole(stack: Stack) -> None:
    answer = httpx.post(f"{stack.url}/v1/feed", json=ASK, timeout=5).json()
    assert len(answer["slate"]) == 10
    assert answer["degraded"] == []
    assert not answer["is_cold_start"], "the user's row came from Redis"
    assert ready(stack)["registry"] == "answers"


def test_a_post_that_was_just_published_becomes_a_candidate(stack: Stack) -> None:
    post = new_post()
    place = f"{stack.url}/v1/posts/{post['post_id']}"
    assert httpx.get(place, timeout=5).status_code == 404
    answer = httpx.post(f"{stack.url}/v1/posts", json={"posts": [post]}, timeout=5)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    stack.await_(lambda: httpx.get(place, timeout=5).status_code == 200, "the post among the candidates", 5)
    known = httpx.get(place, timeout=5).json()
    assert {name: known[name] for name in ("post_id", "creator_id", "topic")} == {
        name: post[name] for name in ("post_id", "creator_id", "topic")
    }
    stack.await_(lambda: post["post_id"] in written(stack, "posts", "post_id"), "the post in the live log", 30)


def test_nothing_runs_as_root_and_nothing_can_write_to_its_image(stack: Stack) -> None:
    for name, row in stack.states().items():
        if row["State"] == "running":
            assert stack.compose("exec", "-T", name, "id", "-u").strip() != "0", name
    assert stack.compose("exec", "-T", "feed", "sh", "-c", "command -v gcc cc make || true") == ""
    assert stack.compose("exec", "-T", "feed", "sh", "-c", "touch /lab/x 2>&1 || true").endswith(
        "Read-only file system\n"
    )


def test_the_rules_are_right_and_fire_when_they_should(stack: Stack) -> None:
    stack.compose("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/lab/prometheus.yml")
    stack.compose("exec", "-T", "--workdir", "/etc/lab", "prometheus", "promtool", "test", "rules", "rules_test.yml")


def test_every_target_is_up_and_no_alert_fires(stack: Stack) -> None:
    stack.await_(lambda: all(float(row["value"][1]) == 1 for row in asked(stack, "up")), "every target up", 30)
    instances = {row["metric"]["instance"] for row in asked(stack, "up")}
    assert instances == {"127.0.0.1:9090", "feed:8010", "worker:8011"}
    assert asked(stack, 'ALERTS{alertstate="firing"}') == []


@pytest.mark.timeout(1200)
def test_it_keeps_its_budgets_under_load(stack: Stack, tmp_path: Path) -> None:
    words = ("load", "feed_ranking", "--url", stack.url, "--users", "8", "--seconds", "30", "--out", str(tmp_path))
    done = measured(stack, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["figures"]["requests"] >= 1000


def test_locust_comes_with_its_profile(stack: Stack) -> None:
    stack.compose("--profile", "load", "up", "--detach", "locust")
    stack.await_(lambda: stack.states()["locust"].get("Health") == "healthy", "Locust", 60)
    page = httpx.get(f"http://127.0.0.1:{stack.ports['LAB_LOCUST_PORT']}/", timeout=5)
    assert "Locust" in page.text
    stack.compose("--profile", "load", "rm", "--stop", "--force", "locust")


@pytest.mark.timeout(1800)
def test_it_survives_a_feature_store_that_is_down(stack: Stack) -> None:
    done = measured(stack, "drill", "feature_store_down", "--setting", "compose", *STORE)
    assert done.returncode == 0, done.stdout[:3000] + done.stderr
    journal = json.loads(done.stdout)
    assert journal["holds"]
    assert all(phase["requests"] >= 1000 for phase in journal["phases"].values())
    lost = next(row for row in journal["cost"] if row["id"] == "captured_value_lost")
    assert lost["low"] > 0, "without features a feed is worth less"


@pytest.mark.timeout(1800)
def test_it_survives_a_stream_that_is_down(stack: Stack) -> None:
    done = measured(stack, "drill", "stream_down", "--setting", "compose", *STREAM)
    assert done.returncode == 0, done.stdout[:3000] + done.stderr
    assert json.loads(done.stdout)["holds"]


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_when_the_broker_is_killed_under_load(stack: Stack) -> None:
    with telling(stack.url) as told:
        stack.await_(lambda: len(told.posts) > 50 and len(told.reactions) > 200, "acknowledgements", 60)
        stack.compose("kill", "kafka")
        stack.await_(lambda: told.refused > 3, "a refusal", 30)
        time.sleep(10)
        acknowledged, answered = len(told.posts), len(told.asked)
        stack.compose("start", "kafka")
        stack.await_(lambda: len(told.posts) > acknowledged + 50, "acknowledgements again", 60)
        assert answered > 100
    assert told.trouble == []
    assert set(told.asked) == {200}, "slates need no broker"

    def is_missing() -> tuple[set[int], set[int]]:
        posts, reactions = written(stack, "posts", "post_id"), written(stack, "log", "event_id")
        return set(told.posts) - set(posts), set(told.reactions) - set(reactions)

    stack.await_(lambda: is_missing() == (set(), set()), "everything that was acknowledged, in the live log", 60)
    for folder, column in (("posts", "post_id"), ("log", "event_id")):
        ids = written(stack, folder, column)
        assert len(ids) == len(set(ids)), f"{folder} has some of them twice"


def test_every_panel_of_the_dashboard_has_data(stack: Stack) -> None:
    """After load and drill, so that there is something to see of degraded answers too."""
    assert empty(stack, "feed_ranking") == []


def test_a_service_starts_without_the_registry_from_its_verified_copy(stack: Stack) -> None:
    stack.compose("stop", "mlflow")
    stack.compose("restart", "feed")
    stack.await_(lambda: ready(stack).get("code") == 200, "the feed without its registry", 60)
    stack.await_(lambda: ready(stack)["registry"].startswith("does not answer"), "the feed to say so", 15)
    assert stack.answers("/v1/feed", ASK)
    stack.compose("start", "mlflow")
    stack.await_(stack.is_settled, "everything healthy again", 90)
    stack.await_(lambda: ready(stack)["registry"] == "answers", "the feed to see it again", 15)


@pytest.mark.timeout(900)
def test_the_ads_come_with_their_profile_beside_the_feed(stack: Stack) -> None:
    stack.compose("--profile", "ads", "up", "--detach", "ads-build", "ads", "ads-worker")
    stack.await_(stack.is_settled, "the ads' model built, everything healthy", 600)
    answer = httpx.post(f"{stack.ads_url}/v1/ads/rank", json={"user_id": 7, "slots": 3}, timeout=5).json()
    assert len(answer["slate"]) == 3
    assert answer["degraded"] == []
    assert not answer["is_cold_start"], "the user's row came from Redis"
    assert all(won["price"] <= won["bid"] for won in answer["slate"])
    both = {"127.0.0.1:9090", "feed:8010", "worker:8011", "ads:8020", "ads-worker:8021"}
    stack.await_(lambda: watched(stack) == both, "Prometheus to find the ads", 60)


@pytest.mark.timeout(1800)
def test_the_ads_survive_a_feature_store_that_is_down(stack: Stack) -> None:
    """With nothing beside them that they do not need: ten milliseconds are less than a dozen containers on two cores
    wait for one another."""
    stack.compose("stop", "feed", "worker", "mlflow", "prometheus")
    words = ("drill", "feature_store_down", "--design", "ctr_prediction", "--setting", "compose", *ADS)
    done = measured(stack, *words)
    assert done.returncode in (0, BROKEN), done.stdout[:3000] + done.stderr
    journal = json.loads(done.stdout)
    assert all(phase["requests"] >= 1000 for phase in journal["phases"].values())
    if slow := broken_by_speed_alone(journal["probes"]):
        pytest.skip(f"the machine is too slow for 10 ms beside its containers: {slow}")
    assert journal["holds"]
    lost = next(row for row in journal["cost"] if row["id"] == "captured_value_lost")
    assert lost["high"] < 0.05, "rows that were read before the store went stand in, though they are past their time"


def test_every_panel_of_the_ads_dashboard_has_data(stack: Stack) -> None:
    """After the drill, while people come: what is divided by requests shows nothing where there are none."""
    stack.compose("start", "prometheus")
    stack.await_(lambda: prometheus_is_ready(stack), "Prometheus to have read what it wrote", 60)
    stack.await_(lambda: {"ads:8020", "ads-worker:8021"} <= watched(stack), "Prometheus to find the ads again", 60)
    done = lab(stack, "live", "ctr_prediction", "--url", stack.ads_url, "--rate", "10", "--seconds", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert empty(stack, "ctr_prediction") == []


def test_it_leaves_nothing_behind(stack: Stack) -> None:
    stack.down()
    for kind in ("container", "network", "volume"):
        words = ["docker", kind, "ls", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"]
        if kind == "container":
            words.insert(3, "--all")
        assert subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout == "", kind
