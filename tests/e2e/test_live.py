"""The live loop works end to end: simulated users, stored events, replay, restarts, and a build on live events."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from infra.stream.sink import files_of
from lab.services.client import request
from tests.e2e.conftest import FEED_HOME, Lab
from tests.support.drift_checks import observed_drift
from tests.support.tries import stays_below
from tests.support.waiting import until


@pytest.fixture(scope="module")
def live_dir() -> Path:
    return Settings(home=FEED_HOME, preset="smoke").design_root("feed_ranking") / "live"


def worker_answers(lab: Lab) -> bool:
    """True if the worker consumes. Its port refuses connections during a restart."""
    try:
        return bool(request("GET", f"{lab.worker_url}/healthz", timeout=5).json()["consumers"])
    except httpx.HTTPError:
        return False


def event_ids(live_dir: Path) -> list[int]:
    return [
        number
        for file in files_of(live_dir / "log")
        for number in pq.read_table(file, columns=["event_id"], partitioning=None)["event_id"].to_pylist()
    ]


def run_visitors(lab: Lab, out: Path, seed: int, seconds: int = 10) -> dict[str, Any]:
    words = ("live", "feed_ranking", "--rate", "12", "--seconds", str(seconds), "--seed", str(seed), "--json")
    found: dict[str, Any] = lab.run(*words, "--out", str(out), parse=True)
    return found


def sent_reactions(out: Path) -> set[int]:
    """Return the event ids of the sent reactions, from the log that the simulated users wrote."""
    found = set()
    for line in (out / "events.jsonl").read_text().splitlines():
        one = json.loads(line)
        if one["kind"] == "reactions":
            found.add(one["slate_id"] * 1000 + one["position"])
    return found


@pytest.mark.timing
def test_published_post_is_a_candidate_within_seconds(timed_lab: Lab) -> None:
    def publish_and_find(first: int) -> float:
        posts = [{"post_id": first + number, "creator_id": 3, "topic": 2} for number in range(3)]
        started = time.monotonic()
        assert request("POST", f"{timed_lab.url}/v1/posts", json={"posts": posts}, timeout=30).status_code == 202
        for post in posts:
            until(lambda post=post: is_candidate(timed_lab, post["post_id"]), "a post")
        return time.monotonic() - started

    ids = itertools.count(10**9, 3)
    stays_below(5.0, lambda: publish_and_find(next(ids)), "seconds until three posts are candidates")


def is_candidate(lab: Lab, post_id: int) -> bool:
    return request("GET", f"{lab.url}/v1/posts/{post_id}", timeout=30).status_code == 200


def test_reactions_of_simulated_users_are_stored_once(lab: Lab, live_dir: Path, tmp_path: Path) -> None:
    report = run_visitors(lab, tmp_path, seed=1)
    assert report["counts"]["requests"] > 60
    assert report["counts"]["events_given_up"] == 0
    lab.await_settled()
    ids = event_ids(live_dir)
    assert sorted(ids) == sorted(sent_reactions(tmp_path))
    assert lab.counted("lab_online_sessions_total") == report["counts"]["sessions"]
    assert lab.counted("lab_online_reactions_total", kind="click") > 0
    assert lab.counted("lab_stream_read_total", result="dead_letter") == 0


def test_replay_reproduces_slates_and_skew_finds_no_difference(lab: Lab, tmp_path: Path) -> None:
    """Also after a client has tried the id of a post of the history."""
    post = {"post_id": 0, "creator_id": 3, "topic": 2, "quality_signal": 3.0}
    assert httpx.post(f"{lab.url}/v1/posts", json={"posts": [post]}, timeout=30).status_code == 409
    run_visitors(lab, tmp_path, seed=4, seconds=3)
    lab.await_settled()
    assert "all numbers are equal" in lab.run("replay", "feed_ranking")
    assert "all are equal" in lab.run("skew", "feed_ranking")
    found = observed_drift(Path(lab.environment["LAB_HOME"]), "feed_ranking", after_s=3600)
    assert found.matched_share > 0.9, "labels that the drift monitor joins with their prediction"
    assert 0.2 < found.calibration < 2
    drift = lab.run("drift", "feed_ranking")
    assert "no window yet" in drift or "no verdict yet" in drift, "a window may end meanwhile, but not a reference"


def test_killed_worker_neither_loses_nor_duplicates_events(lab: Lab, live_dir: Path, tmp_path: Path) -> None:
    before = set(event_ids(live_dir))
    first, second = tmp_path / "first", tmp_path / "second"
    run_visitors(lab, first, seed=2, seconds=6)
    psutil.Process(lab.pid_of("feed_ranking-worker")).kill()
    run_visitors(lab, second, seed=3, seconds=6)
    until(lambda: worker_answers(lab), "the restarted worker")
    lab.await_settled()
    ids = event_ids(live_dir)
    assert len(ids) == len(set(ids))
    assert set(ids) - before == sent_reactions(first) | sent_reactions(second)
    assert "all are equal" in lab.run("skew", "feed_ranking")


def test_feed_responses_stay_undegraded_while_the_broker_restarts(lab: Lab) -> None:
    psutil.Process(lab.pid_of("stream")).kill()
    body = {"user_id": 7, "k": 10}
    for _ in range(20):
        answer = request("POST", f"{lab.url}/v1/feed", json=body, timeout=30)
        assert (answer.status_code, answer.json()["degraded"]) == (200, [])
    post = {"posts": [{"post_id": 2 * 10**9, "creator_id": 3, "topic": 2}]}
    until(lambda: request("POST", f"{lab.url}/v1/posts", json=post, timeout=30).status_code == 202, "the stream")
    until(lambda: is_candidate(lab, 2 * 10**9), "the post")


def test_next_build_trains_on_live_events_and_is_served(lab: Lab) -> None:
    before = request("GET", f"{lab.url}/readyz").json()["model_version"]
    printed = lab.run("build", "feed_ranking")
    found = re.search(r"live_rows ([\d,]+)", printed)
    assert found is not None, printed
    assert int(found.group(1).replace(",", "")) > 100
    until(lambda: request("GET", f"{lab.url}/readyz", timeout=30).json()["model_version"] != before, "the new model")
    answer = request("POST", f"{lab.url}/v1/feed", json={"user_id": 7, "k": 10}, timeout=30).json()
    assert answer["degraded"] == []
    lab.await_settled()
    assert "all numbers are equal" in lab.run("replay", "feed_ranking"), "predictions of both model versions"
