"""The composed stack builds from nothing, serves, is monitored, survives faults, and leaves nothing after `down`.

The tests use a project and ports of their own and run in the order of this file. `make compose-test` runs them; they
need a Docker engine. Two builds run beside tests that measure no speed, or while a drill waits. A test with the fixture
`quiet` starts when no build runs.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.settings import REPOSITORY
from lab.bench.compose.replicas import are_ready, kill, ready_replicas, replicas, status_of
from lab.bench.steady_load import CLIENTS, steady_load
from lab.designs import find_design
from lab.services.composing import ONE_SHOT, Stack
from tests.compose.fresh_stack import fresh_stack
from tests.compose.prometheus import (
    PLATFORM,
    prometheus_is_ready,
    queries_without_data,
    query_prometheus,
    targets_of,
    targets_up,
)
from tests.support.telling import acknowledged_load, logged_ids, new_post
from tests.support.tries import BROKEN, conclusive_run, drill_journal, skip_if_slow, skip_without_latency

ASK = {"user_id": 7, "k": 10}
PROJECT = "lab-compose-test"
STORE, STREAM, ADS, ETA = (("--rate", rate) for rate in ("40", "25", "60", "40"))
"""Request rates of the drills. All containers, their tests and the load share two cores. The drill of the stream starts
a JVM, which takes both cores for seconds. The drills of the ads and of ride ETA run without the containers that these
designs do not need."""
BUILDS_S = 270.0
"""The drill of the traffic feed waits 305 s for the effect of its fault."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    yield from fresh_stack(PROJECT)


def is_running(stack: Stack, *services: str) -> bool:
    states = stack.states()
    return any(states.get(name, {}).get("State") == "running" for name in services)


@pytest.fixture
def quiet(stack: Stack) -> None:
    """Waits until no build runs."""
    stack.await_(lambda: not is_running(stack, *ONE_SHOT), "the end of all builds", every_s=2.0)


def lab(stack: Stack, *words: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(
        command, cwd=REPOSITORY, env=stack.environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def measured(stack: Stack, *words: str, timeout_s: float = 500) -> subprocess.CompletedProcess[str]:
    """Run a command that measures speed and prints JSON. Repeat it while its result is inconclusive."""
    return conclusive_run(lambda: lab(stack, *words, "--json", timeout_s=timeout_s))


def drilled(stack: Stack, *words: str) -> dict[str, Any]:
    """Run a drill in the composed setting and return its journal. Repeat it while a figure other than the latency does
    not hold."""
    words = ("drill", *words, "--setting", "compose", "--json")
    journal = drill_journal(lambda: lab(stack, *words, timeout_s=500))
    assert all(phase["requests"] >= 1000 for phase in journal["phases"].values())
    return journal


def build_while(stack: Stack, drill: Future[Any], build: str, *, stopped: str) -> None:
    """Run a build job while a drill waits for the effect of a stopped container. The build is stopped before the drill
    measures again; it resumes at its next start."""
    stack.await_(lambda: drill.done() or not is_running(stack, stopped), f"the stop of {stopped}", every_s=2.0)
    ends = time.monotonic() + BUILDS_S
    stack.compose("--profile", "*", "start", build)
    while not drill.done() and time.monotonic() < ends and is_running(stack, build):
        time.sleep(2.0)
    stack.compose("--profile", "*", "stop", build)


def parsed(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON of a load run whose verdict is passed or broken."""
    assert done.returncode in (0, BROKEN), done.stdout[:3000] + done.stderr
    return json.loads(done.stdout)


def undegraded(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the first undegraded response of three. Others may only be degraded by a slow read of the store, because
    that happens on a busy machine."""
    found: list[dict[str, Any]] = [httpx.post(url, json=body, timeout=60).json() for _ in range(3)]
    assert {reason for answer in found for reason in answer["degraded"]} <= {"feature_store_slow"}, found
    healthy = [answer for answer in found if not answer["degraded"]]
    assert healthy, found
    return healthy[0]


def simulate_users(stack: Stack, design: str) -> None:
    done = lab(stack, "live", design, "--url", stack.url_of(design), "--rate", "10", "--seconds", "20")
    assert done.returncode == 0, done.stdout + done.stderr


def ready(stack: Stack) -> dict[str, Any]:
    try:
        response = httpx.get(f"{stack.url}/readyz", timeout=60)
    except httpx.HTTPError:
        return {}
    return response.json() | {"code": response.status_code}


@pytest.mark.timeout(1200)
def test_feed_responds_503_during_the_build_and_a_stopped_build_resumes(stack: Stack) -> None:
    stack.compose("up", "--build", "--detach", timeout_s=900)
    not_built = "no release is loaded yet: feed_ranking has not been built"
    stack.await_(lambda: not_built in ready(stack).get("detail", ""), "the reason why the feed is not ready")
    assert ready(stack)["code"] == 503
    answer = httpx.post(f"{stack.url}/v1/feed", json=ASK, timeout=60)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    stack.await_(lambda: "2/10" in stack.compose("logs", "build"), "the second step of the build")

    stack.compose("stop")
    killed = {name for name, row in stack.states().items() if row["ExitCode"] == 128 + signal.SIGKILL}
    assert not killed, "every container stops on SIGTERM"
    stack.compose("up", "--detach")
    stack.await_settled("healthy services and the end of the build")
    log = stack.compose("logs", "--no-log-prefix", "build")
    assert "world           up to date" in log.rpartition("1/10")[2]


def test_feed_returns_a_full_undegraded_slate(stack: Stack) -> None:
    answer = undegraded(f"{stack.url}/v1/feed", ASK)
    assert len(answer["slate"]) == 10
    assert not answer["is_cold_start"], "the user's row came from Redis"
    assert ready(stack)["registry"] == "answers"


def test_published_post_becomes_a_candidate_and_is_logged(stack: Stack) -> None:
    stack.compose("--profile", "eta", "up", "--detach", "eta-build")  # for later: the next tests measure no speed
    post = new_post()
    place = f"{stack.url}/v1/posts/{post['post_id']}"
    assert httpx.get(place, timeout=60).status_code == 404
    answer = httpx.post(f"{stack.url}/v1/posts", json={"posts": [post]}, timeout=60)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    stack.await_(lambda: httpx.get(place, timeout=60).status_code == 200, "the post among the candidates")
    known = httpx.get(place, timeout=60).json()
    assert {name: known[name] for name in ("post_id", "creator_id", "topic")} == {
        name: post[name] for name in ("post_id", "creator_id", "topic")
    }
    stack.await_(lambda: post["post_id"] in logged_ids(stack, "posts", "post_id"), "the post in the live log")


def test_containers_run_without_root_and_with_a_read_only_image(stack: Stack) -> None:
    for name, row in stack.states().items():
        if row["State"] == "running" and name not in ONE_SHOT:  # a build may end meanwhile
            assert stack.compose("exec", "-T", name, "id", "-u").strip() != "0", name
    assert stack.compose("exec", "-T", "feed", "sh", "-c", "command -v gcc cc make || true") == ""
    assert stack.compose("exec", "-T", "feed", "sh", "-c", "touch /lab/x 2>&1 || true").endswith(
        "Read-only file system\n"
    )


def test_prometheus_config_passes_promtool(stack: Stack) -> None:
    checked = stack.compose("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/lab/prometheus.yml")
    assert "FAILED" not in checked


def test_every_target_is_up_and_no_alert_fires(stack: Stack) -> None:
    stack.await_(lambda: all(float(row["value"][1]) == 1 for row in query_prometheus(stack, "up")), "every target up")
    jobs = {row["metric"]["job"] for row in query_prometheus(stack, "up")}
    assert jobs == PLATFORM | targets_of("feed_ranking")
    assert query_prometheus(stack, 'ALERTS{alertstate="firing"}') == []


def test_load_profile_starts_locust(stack: Stack) -> None:
    stack.compose("--profile", "load", "up", "--detach", "locust")
    stack.await_(lambda: stack.states()["locust"].get("Health") == "healthy", "Locust")
    page = httpx.get(f"http://127.0.0.1:{stack.ports['LAB_LOCUST_PORT']}/", timeout=60)
    assert "Locust" in page.text
    stack.compose("--profile", "load", "rm", "--stop", "--force", "locust")


@pytest.mark.timeout(300)
def test_acknowledged_events_survive_a_broker_kill_under_load(stack: Stack) -> None:
    with acknowledged_load(stack.url) as load:
        stack.await_(lambda: len(load.posts) > 50 and len(load.reactions) > 200, "acknowledgements")
        stack.compose("kill", "kafka")
        stack.await_(lambda: load.refused > 3, "a refusal")
        time.sleep(10)
        acknowledged, answered = len(load.posts), len(load.slate_statuses)
        stack.compose("start", "kafka")
        stack.await_(lambda: len(load.posts) > acknowledged + 50, "acknowledgements again")
        assert answered > 100
    assert load.errors == []
    assert set(load.slate_statuses) <= {200, 503}
    assert load.slate_statuses.count(503) < 0.05 * len(load.slate_statuses), "slates need no broker"

    def is_missing() -> tuple[set[int], set[int]]:
        posts, reactions = logged_ids(stack, "posts", "post_id"), logged_ids(stack, "log", "event_id")
        return set(load.posts) - set(posts), set(load.reactions) - set(reactions)

    stack.await_(lambda: is_missing() == (set(), set()), "all acknowledged events in the live log")
    for folder, column in (("posts", "post_id"), ("log", "event_id")):
        ids = logged_ids(stack, folder, column)
        assert len(ids) == len(set(ids)), f"{folder} has duplicates"


@pytest.mark.timeout(1200)
def test_feed_keeps_its_budgets_under_load(stack: Stack, quiet: None, tmp_path: Path) -> None:
    words = ("load", "feed_ranking", "--url", stack.url, "--users", "8", "--seconds", "30", "--out", str(tmp_path))
    done = measured(stack, *words)
    verdict = parsed(done)
    assert verdict["figures"]["requests"] >= 1000
    assert verdict["figures"]["wrong"] == 0
    skip_if_slow([row | {"figure": row["budget"], "phase": "load"} for row in verdict["budgets"]])
    assert verdict["passed"]


@pytest.mark.timeout(1800)
def test_feature_store_down_drill_of_the_feed_holds(stack: Stack, quiet: None) -> None:
    journal = drilled(stack, "feature_store_down", *STORE)
    lost = next(row for row in journal["cost"] if row["id"] == "captured_value_lost")
    assert lost["low"] > 0, "a feed without features captures less value"
    skip_without_latency(journal)


@pytest.mark.timeout(1800)
def test_stream_down_drill_holds(stack: Stack, quiet: None) -> None:
    skip_without_latency(drilled(stack, "stream_down", *STREAM))


def test_every_panel_of_the_feed_dashboard_has_data(stack: Stack) -> None:
    """Runs after load and drills, so that panels about degraded responses have data too."""
    assert queries_without_data(stack, "feed_ranking") == []


@pytest.mark.timeout(600)
def test_killed_replica_loses_no_request_but_those_in_flight(stack: Stack) -> None:
    """Requests that began after the kill reach the other replica: a connection that fails is tried again there."""
    stack.compose("up", "--detach", "--no-recreate", "--scale", "feed=2", "feed")
    stack.await_(lambda: are_ready(stack, 2), "two ready replicas behind the balancer")
    with steady_load(f"{stack.url}/v1/feed", ASK) as load:
        stack.await_(lambda: len(load.sent) > 60, "requests to both replicas")
        begin = time.monotonic()
        kill(replicas(stack, "feed")[0])
        end = time.monotonic()
        stack.await_(lambda: len(ready_replicas(stack)) == 1, "the balancer to leave the dead replica out", 30)
        stack.await_(lambda: len(load.since(end)) > 60, "requests after the kill")
    in_flight = load.between(begin, end)
    assert {one.status for one in load.sent[:60]} == {200}
    assert set(load.failed()) <= set(in_flight), "only requests in flight fail"
    assert len(load.failed()) <= CLIENTS


@pytest.mark.timeout(600)
def test_both_replicas_learn_of_a_new_post(stack: Stack) -> None:
    stack.compose("up", "--detach", "--no-recreate", "--scale", "feed=2", "feed")
    stack.await_(lambda: are_ready(stack, 2), "two ready replicas behind the balancer")
    post = new_post()
    assert httpx.post(f"{stack.url}/v1/posts", json={"posts": [post]}, timeout=60).status_code == 202
    place = f"http://127.0.0.1:8010/v1/posts/{post['post_id']}"
    for container in replicas(stack, "feed"):
        stack.await_(lambda one=container: status_of(one, place) == 200, f"the post in replica {container[:12]}", 60)
    stack.compose("up", "--detach", "--no-recreate", "--scale", "feed=1", "feed")
    stack.await_(lambda: are_ready(stack, 1), "the balancer to leave the stopped replica out", 60)


def test_feed_starts_without_the_registry_from_its_verified_copy(stack: Stack) -> None:
    stack.compose("stop", "mlflow")
    stack.compose("restart", "feed")
    stack.await_(lambda: ready(stack).get("code") == 200, "the feed without its registry")
    stack.await_(
        lambda: ready(stack)["registry"].startswith("does not answer"), "the feed to report the registry as down"
    )
    assert stack.answers("/v1/feed", ASK)
    stack.compose("start", "mlflow")
    stack.await_settled("healthy services")
    stack.await_(lambda: ready(stack)["registry"] == "answers", "the feed to report the registry as up")


@pytest.mark.timeout(1200)
def test_eta_profile_starts_ride_eta_without_the_other_designs(stack: Stack, quiet: None) -> None:
    """Removes the containers of the feed, so that two cores and a laptop's memory suffice."""
    stack.compose("rm", "--stop", "--force", "feed", "worker")
    stack.compose("--profile", "eta", "up", "--detach", "eta", "eta-worker")
    stack.await_settled("the end of the build of ride ETA, and healthy services")
    ask = find_design("eta_prediction").ask
    answer = undegraded(f"{stack.url_of('eta_prediction')}{ask.path}", ask.example())
    assert 0 < answer["p10_min"] < answer["p50_min"] < answer["p90_min"]
    assert answer["edges"], "the routing engine answers in the image"
    assert not answer["is_cold_start"], "the driver's row came from Redis"
    stack.await_(lambda: targets_of("eta_prediction") <= targets_up(stack), "Prometheus to find ride ETA")


@pytest.mark.timeout(1800)
def test_traffic_feed_down_drill_holds_and_raises_its_alert(stack: Stack, quiet: None) -> None:
    """Takes five minutes longer than other drills, because the last state of the roads stays valid for so long. It
    therefore runs once. The ads are built meanwhile."""
    words = ("drill", "traffic_feed_down", "--setting", "compose", *ETA, "--json")
    stack.compose("--profile", "ads", "create", "ads-build")  # the drill counts the CPU time of containers that exist
    with ThreadPoolExecutor() as pool:
        drill = pool.submit(lab, stack, *words, timeout_s=1000)
        build_while(stack, drill, "ads-build", stopped="eta-worker")
    old = 'max_over_time(ALERTS{alertname="TrafficFeedOld", alertstate="firing"}[15m])'
    assert query_prometheus(stack, old), "the alert of an old traffic feed fired"
    journal = drill_journal(drill.result, tries=1)
    assert all(phase["requests"] >= 1000 for phase in journal["phases"].values())
    skip_without_latency(journal)


@pytest.mark.timeout(600)
def test_every_panel_of_the_eta_dashboard_has_data(stack: Stack) -> None:
    """Runs after the drill, so that panels about degraded responses have data too."""
    simulate_users(stack, "eta_prediction")
    assert queries_without_data(stack, "eta_prediction") == []


@pytest.mark.parametrize("name", ["overview", "stream", "builds"])
def test_every_panel_of_the_shared_dashboards_has_data(stack: Stack, name: str) -> None:
    stack.await_(lambda: not queries_without_data(stack, name), f"data for every panel of {name}", seconds=120)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("check", ["replay", "skew"])
def test_quotes_in_the_composed_log_replay_and_have_no_skew(stack: Stack, check: str) -> None:
    """The check runs in a container of the build job, which has the volume with the log."""
    name = "eta_prediction"
    stack.await_(lambda: len(logged_ids(stack, "quotes", "quote_id", design=name, worker="eta-worker")) > 100, "a log")
    words = ("--profile", "eta", "run", "--rm", "-T", "eta-build", check, name, "--json")
    found = json.loads(stack.compose(*words, timeout_s=600))
    assert found["checked"] > 100


@pytest.mark.timeout(900)
def test_ads_profile_starts_the_ads_beside_the_feed(stack: Stack) -> None:
    stack.compose("--profile", "eta", "rm", "--stop", "--force", "eta", "eta-worker")
    stack.compose("--profile", "ads", "up", "--detach", "feed", "worker", "ads-build", "ads", "ads-worker")
    stack.await_settled("the end of the build of the ads, and healthy services")
    answer = undegraded(f"{stack.url_of('ctr_prediction')}/v1/ads/rank", {"user_id": 7, "slots": 3})
    assert len(answer["slate"]) == 3
    assert not answer["is_cold_start"], "the user's row came from Redis"
    assert all(won["price"] <= won["bid"] for won in answer["slate"])
    both = targets_of("feed_ranking") | targets_of("ctr_prediction")
    stack.await_(lambda: targets_up(stack) == PLATFORM | both, "Prometheus to find the ads")


@pytest.mark.timeout(1800)
def test_feature_store_down_drill_of_the_ads_holds(stack: Stack, quiet: None) -> None:
    """Stops the containers that the ads do not need. With a dozen containers on two cores, the wait for a core alone
    exceeds the budget of ten milliseconds."""
    stack.compose("stop", "feed", "worker", "mlflow", "prometheus")
    journal = drilled(stack, "feature_store_down", "--design", "ctr_prediction", *ADS)
    lost = next(row for row in journal["cost"] if row["id"] == "captured_value_lost")
    assert lost["high"] < 0.05, "cached rows past their TTL replace the reads"
    skip_without_latency(journal)


def test_every_panel_of_the_ads_dashboard_has_data(stack: Stack) -> None:
    """Runs during live traffic, because ratios per request have no data without requests."""
    stack.compose("start", "prometheus")
    stack.await_(lambda: prometheus_is_ready(stack), "Prometheus to load its data")
    stack.await_(lambda: targets_of("ctr_prediction") <= targets_up(stack), "Prometheus to find the ads again")
    simulate_users(stack, "ctr_prediction")
    assert queries_without_data(stack, "ctr_prediction") == []


def test_stack_down_removes_containers_networks_and_volumes(stack: Stack) -> None:
    stack.down()
    for kind in ("container", "network", "volume"):
        words = ["docker", kind, "ls", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"]
        if kind == "container":
            words.insert(3, "--all")
        assert subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout == "", kind
