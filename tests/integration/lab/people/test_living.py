"""`lab live` delivers all events over real sockets despite rejected requests, and is reproducible."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.world.visitors import Visitors
from infra.errors import BudgetBroken, DependencyError, LabError
from infra.simulation.streams import end_ts
from lab.commands.living import live
from lab.people.living import Living, Persistence

NOW = end_ts(SMOKE.world)
HASTY = Persistence(tries=400, first_s=0.01, longest_s=0.02)


class Feed(ThreadingHTTPServer):
    """Implements the contract. `mood` by path: "", "busy" (503), "deaf" (accepts, disconnects), "broken" (500)."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock, self.mood = threading.Lock(), dict[str, str]()
        self.clock_s, self.began = 1.0, time.monotonic()
        self.events: list[dict[str, Any]] = []
        self.posts: list[dict[str, Any]] = []
        self.asked = 0
        self.is_unique, self.delay_s, self.slate = True, 0.0, True

    def now_ts(self) -> float:
        return NOW + (time.monotonic() - self.began) * self.clock_s

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer deterministically from the request, except for the slate id when it must be unique."""
        number = zlib.crc32(json.dumps(body, sort_keys=True).encode())
        posts = np.random.default_rng(number).choice(1000, body["k"], replace=False) + 100
        slate: list[dict[str, Any]] = [
            {"position": n, "post_id": p, "creator_id": p % 70, "topic": p % 16, "ad_id": None, "propensity": 0.1}
            for n, p in enumerate(posts.tolist())
        ]
        slate[6] |= {"post_id": None, "creator_id": None, "topic": None, "ad_id": 2}
        with self.lock:
            self.asked += 1
            slate_id = self.asked if self.is_unique else number
        degraded = ["feature_store_unavailable"] if number % 10 == 0 else []
        found = {"slate": slate, "slate_id": slate_id, "policy": "ranked_v1", "request_ts": NOW, "degraded": degraded}
        return found if self.slate else {"rows": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Feed

    def do_GET(self) -> None:
        self._say(200, {"/v1/clock": {"now": self.server.now_ts()}, "/v1/design": {"preset": "smoke"}}[self.path])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mood = self.server.mood.get(self.path, "")
        if mood == "busy":
            return self._say(503, {"title": "busy"})
        if mood == "broken":
            return self._say(500, {"title": "bug"})
        if self.path == "/v1/feed":
            time.sleep(self.server.delay_s)
            return self._say(200, self.server.answer(body))
        taken = body["posts"] if self.path == "/v1/posts" else body["impressions"] + body["reactions"]
        with self.server.lock:
            (self.server.posts if self.path == "/v1/posts" else self.server.events).extend(taken)
        if mood == "deaf":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self._say(202, {"accepted": len(taken)})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if status == 503:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def feed() -> Iterator[Feed]:
    server = Feed()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def people() -> Visitors:
    return Visitors(SMOKE, seed=3)


def living(people: Visitors, feed: Feed, **changed: Any) -> Living:
    options: dict[str, Any] = {"persistence": HASTY, "publish_every_s": 0.05}
    return Living(people, feed.url, "/v1/feed", feed.now_ts(), **(options | changed))


def silent(*_: object) -> None:
    return


def identities(events: list[dict[str, Any]]) -> Counter[tuple[int, int, bool]]:
    return Counter((row["slate_id"], row["position"], "clicked" in row) for row in events)


def test_every_request_has_one_outcome_and_every_event_arrives_once(people: Visitors, feed: Feed) -> None:
    run = living(people, feed)
    lasted_s = run.run(60, 2.0, silent)
    counts = run.tally.counts
    assert 1.9 < lasted_s < 30
    assert counts.requests == feed.asked == counts.ok + counts.degraded
    assert counts.degraded > 0
    assert 60 < counts.requests < 200, "about 120"
    assert counts.events_accepted == len(feed.events) > 500
    assert set(identities(feed.events).values()) == {1}
    assert (counts.events_given_up, counts.sent_again, counts.dropped, counts.failed, counts.shed) == (0,) * 5
    rows = {row["id"]: row for row in run.tally.rows()}
    reactions = [row for row in feed.events if "clicked" in row]
    sessions = {row["session_id"] for row in reactions}
    assert len(sessions) == counts.sessions
    assert rows["clicks"]["value"] == pytest.approx(sum(row["clicked"] for row in reactions) / len(sessions))
    assert rows["dwell_s"]["value"] == pytest.approx(sum(row["dwell_s"] for row in reactions) / len(sessions), rel=1e-3)
    assert rows["slates"]["value"] == pytest.approx(counts.requests / len(sessions))
    ads = sum(row["left"] and row["ad_id"] >= 0 for row in reactions)
    assert rows["ended_by_ad"]["value"] == pytest.approx(ads / len(sessions))


@pytest.mark.parametrize("mood", ["busy", "deaf"])
def test_rejected_events_are_retried_without_loss_and_with_identical_copies(
    people: Visitors, feed: Feed, mood: str
) -> None:
    feed.mood["/v1/events"] = mood
    threading.Timer(0.8, feed.mood.clear).start()
    run = living(people, feed)
    run.run(30, 1.6, silent)
    counts, found = run.tally.counts, identities(feed.events)
    assert counts.sent_again > 10
    assert counts.events_given_up == 0
    assert counts.events_accepted == len(found)
    assert (max(found.values()) > 1) == (mood == "deaf")
    first: dict[tuple[int, int, bool], dict[str, Any]] = {}
    for row in feed.events:
        assert first.setdefault((row["slate_id"], row["position"], "clicked" in row), row) == row
    slates = {row["slate_id"] for row in feed.events}
    assert slates == set(range(1, feed.asked + 1)), "every slate has at least one impression"


def test_permanently_rejected_events_are_dropped_and_counted(people: Visitors, feed: Feed) -> None:
    feed.mood["/v1/events"] = "broken"
    run = living(people, feed)
    run.run(30, 0.5, silent)
    assert run.tally.counts.events_given_up > 0 == run.tally.counts.sent_again == run.tally.counts.events_accepted
    assert "/v1/events answered 500: bug" in run.refusal
    feed.mood["/v1/events"] = "busy"
    run = living(people, feed, persistence=Persistence(tries=3, first_s=0.01, longest_s=0.01))
    run.run(30, 0.5, silent)
    counts = run.tally.counts
    assert counts.sent_again == 2 * counts.requests > 0 == counts.events_accepted == len(feed.events)
    assert counts.events_given_up > 0


def test_visit_without_a_slate_ends(people: Visitors, feed: Feed) -> None:
    for mood, fate in (("busy", "shed"), ("broken", "failed")):
        feed.mood["/v1/feed"] = mood
        run = living(people, feed)
        run.run(40, 0.5, silent)
        assert getattr(run.tally.counts, fate) == run.tally.counts.requests == run.tally.counts.sessions > 0
        assert run.tally.counts.answered == len(feed.events) == 0


def test_visits_beyond_the_concurrency_limit_are_dropped_and_counted(people: Visitors, feed: Feed) -> None:
    feed.delay_s = 0.3
    run = living(people, feed, most_at_once=2)
    run.run(100, 1.0, silent)
    assert run.tally.counts.dropped > 20
    assert run.tally.counts.sessions <= 2 * (1 + 1.0 / 0.3) + 2


def test_same_seed_and_answers_write_the_same_events(feed: Feed, tmp_path: Path) -> None:
    feed.is_unique = False

    def events(seed: int) -> list[str]:
        with (tmp_path / "events.jsonl").open("w") as file:
            living(Visitors(SMOKE, seed), feed, events=file).run(50, 1.0, silent)
        return sorted((tmp_path / "events.jsonl").read_text().splitlines())

    once = events(11)
    assert len(once) > 300
    assert {json.loads(line)["kind"] for line in once} == {"impressions", "reactions"}
    assert once == events(11)
    assert once != events(12)


def test_creators_publish_each_post_once_at_the_pace_of_the_world(people: Visitors, feed: Feed) -> None:
    feed.clock_s = 3 * 3600.0  # three hours of the world pass in a second
    feed.mood["/v1/posts"] = "busy"
    threading.Timer(0.5, feed.mood.clear).start()
    run = living(people, feed)
    run.run(1, 2.0, silent)
    ids = [post["post_id"] for post in feed.posts]
    assert len(ids) == run.tally.counts.published > 30
    first = SMOKE.world.posts
    assert ids == list(range(first, first + len(ids)))
    assert run.tally.counts.publishing_given_up == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Install the default SIGINT handler: background jobs of a shell ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("interruptible")
def test_run_stops_cleanly_on_a_signal(people: Visitors, feed: Feed, number: int) -> None:
    threading.Timer(0.7, os.kill, (os.getpid(), number)).start()
    run, before = living(people, feed), signal.getsignal(signal.SIGTERM)
    lasted_s = run.run(40, None, silent)
    assert 0.5 < lasted_s < 30
    assert run.tally.counts.events_accepted == len(feed.events) > 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("visit")]


def test_interrupted_run_drops_events_not_acknowledged_in_time(
    people: Visitors, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.people.living.GRACE_S", 0.3)
    feed.mood["/v1/events"] = "busy"
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    run, began = living(people, feed, persistence=Persistence(tries=10_000, longest_s=0.1)), time.monotonic()
    run.run(40, None, silent)
    assert time.monotonic() - began < 60
    assert run.tally.counts.events_given_up > 0 == run.tally.counts.events_accepted


def test_run_raises_for_unreadable_answers(people: Visitors, feed: Feed) -> None:
    feed.slate = False
    with pytest.raises(LabError, match="cannot parse"):
        living(people, feed).run(30, 5.0, silent)


def command(feed_url: str, **changed: Any) -> None:
    options: dict[str, Any] = {"rate": 30.0, "seconds": 0.8, "seed": 1, "directory": None, "preset": None}
    live("feed_ranking", url=feed_url, **(options | {"as_json": True} | changed))


def test_live_command_prints_measures_with_expectations_and_writes_events(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(feed.url, directory=tmp_path / "new")
    printed = json.loads(capsys.readouterr().out)
    assert printed["counts"]["events_accepted"] == len(feed.events)
    assert (tmp_path / "new" / "events.jsonl").read_text().count("\n") == len(feed.events)
    assert [row["id"] for row in printed["measures"]] == ["slates", "clicks", "dwell_s", "new_creators", "ended_by_ad"]
    assert all(row["low"] <= row["value"] <= row["high"] and "expected" in row for row in printed["measures"])
    command(feed.url, as_json=False)
    shown = capsys.readouterr()
    for word in ("expected", "dwell per session", "events accepted", "published"):
        assert word in shown.out
    assert "requests" in shown.err


def test_live_command_raises_without_a_server_or_without_an_answered_request(feed: Feed) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DependencyError):
            command(f"http://127.0.0.1:{taken.getsockname()[1]}")
    feed.mood["/v1/feed"] = "busy"
    with pytest.raises(BudgetBroken, match="no request was answered"):
        command(feed.url)
