"""The live loop as a user meets it: people use the feed, it is kept, features follow, a build learns."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from infra.stream.sink import files_of
from tests.e2e.conftest import LIVE_HOME as HOME
from tests.e2e.conftest import Lab, start_lab, wait_until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def live_dir() -> Path:
    return Settings(home=HOME, preset="smoke").design_root("feed_ranking") / "live"


@pytest.fixture(scope="module")
def lived() -> Iterator[Lab]:
    shutil.rmtree(HOME, ignore_errors=True)  # with what an earlier run has pushed and learned
    running = start_lab(HOME)
    yield running
    if running.process.poll() is None:
        running.stop()


def worker_url(lab: Lab) -> str:
    return f"http://127.0.0.1:{lab.port + 1}"


def counted(lab: Lab, name: str, **labels: str) -> float:
    text = httpx.get(f"{worker_url(lab)}/metrics", timeout=5).text
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    rows = re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)$", text, re.M)
    return sum(float(value) for found, value in rows if all(part in found for part in wanted))


def settled(lab: Lab) -> None:
    """Everything that was acknowledged is handled."""
    wait_until(lambda: counted(lab, "lab_stream_lag") == 0, 30, "no lag")
    time.sleep(6.0)  # the sink gathers for five seconds
    wait_until(lambda: counted(lab, "lab_stream_lag") == 0, 30, "no lag")


def event_ids(live_dir: Path) -> list[int]:
    return [
        number
        for file in files_of(live_dir / "log")
        for number in pq.read_table(file, columns=["event_id"], partitioning=None)["event_id"].to_pylist()
    ]


def people(lab: Lab, out: Path, seed: int, seconds: int = 10) -> dict[str, Any]:
    words = ("live", "feed_ranking", "--rate", "12", "--seconds", str(seconds), "--seed", str(seed), "--json")
    found: dict[str, Any] = lab.run(*words, "--out", str(out), parse=True)
    return found


def told(out: Path) -> set[int]:
    """The ids of the reactions that people sent, by what they wrote down themselves."""
    found = set()
    for line in (out / "events.jsonl").read_text().splitlines():
        one = json.loads(line)
        if one["kind"] == "reactions":
            found.add(one["slate_id"] * 1000 + one["position"])
    return found


def test_a_published_post_is_a_candidate_within_seconds(lived: Lab) -> None:
    posts = [{"post_id": 10**9 + number, "creator_id": 3, "topic": 2} for number in range(3)]
    started = time.monotonic()
    assert httpx.post(f"{lived.url}/v1/posts", json={"posts": posts}, timeout=5).status_code == 202
    for post in posts:
        wait_until(
            lambda post=post: httpx.get(f"{lived.url}/v1/posts/{post['post_id']}").status_code == 200, 5, "a post"
        )
    assert time.monotonic() - started < 5


def test_people_use_it_and_what_they_do_is_kept_once(lived: Lab, live_dir: Path, tmp_path: Path) -> None:
    report = people(lived, tmp_path, seed=1)
    assert report["counts"]["requests"] > 60
    assert report["counts"]["events_given_up"] == 0
    settled(lived)
    ids = event_ids(live_dir)
    assert sorted(ids) == sorted(told(tmp_path))
    assert counted(lived, "lab_online_sessions_total") == report["counts"]["sessions"]
    assert counted(lived, "lab_online_reactions_total", kind="click") > 0
    assert counted(lived, "lab_stream_read_total", result="dead_letter") == 0


def test_what_was_served_can_be_made_again_and_its_features_too(lived: Lab) -> None:
    assert "every number is the same" in lived.run("replay", "feed_ranking")
    assert "all are the same" in lived.run("skew", "feed_ranking")


def test_a_worker_that_is_killed_loses_and_doubles_nothing(lived: Lab, live_dir: Path, tmp_path: Path) -> None:
    before = set(event_ids(live_dir))
    first, second = tmp_path / "first", tmp_path / "second"
    people(lived, first, seed=2, seconds=6)
    psutil.Process(lived.pid_of("feed_ranking-worker")).kill()
    people(lived, second, seed=3, seconds=6)
    wait_until(lambda: httpx.get(f"{worker_url(lived)}/healthz").json()["consumers"] != {}, 60, "the worker again")
    settled(lived)
    ids = event_ids(live_dir)
    assert len(ids) == len(set(ids))
    assert set(ids) - before == told(first) | told(second)
    assert "all are the same" in lived.run("skew", "feed_ranking")


def test_a_broker_that_dies_takes_nothing_from_the_answers_and_comes_back(lived: Lab) -> None:
    psutil.Process(lived.pid_of("stream")).kill()
    body = {"user_id": 7, "k": 10}
    for _ in range(20):
        answer = httpx.post(f"{lived.url}/v1/feed", json=body, timeout=5)
        assert (answer.status_code, answer.json()["degraded"]) == (200, [])
    post = {"posts": [{"post_id": 2 * 10**9, "creator_id": 3, "topic": 2}]}
    wait_until(lambda: httpx.post(f"{lived.url}/v1/posts", json=post, timeout=5).status_code == 202, 40, "the stream")
    wait_until(lambda: httpx.get(f"{lived.url}/v1/posts/2000000000").status_code == 200, 20, "the post")


def test_the_next_build_learns_from_it_and_is_served(lived: Lab) -> None:
    before = httpx.get(f"{lived.url}/readyz").json()["model_version"]
    printed = lived.run("build", "feed_ranking")
    found = re.search(r"live_rows ([\d,]+)", printed)
    assert found is not None, printed
    assert int(found.group(1).replace(",", "")) > 100
    wait_until(lambda: httpx.get(f"{lived.url}/readyz").json()["model_version"] != before, 20, "the new model")
    answer = httpx.post(f"{lived.url}/v1/feed", json={"user_id": 7, "k": 10}, timeout=5).json()
    assert answer["degraded"] == []
    settled(lived)
    assert "every number is the same" in lived.run("replay", "feed_ranking"), "of both versions"
