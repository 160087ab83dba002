"""Load test of the feed: Zipf-distributed users, some unknown, with various slate lengths and lists of seen posts.

Run `lab load feed_ranking`, or Locust directly: `locust -f loadtests/feed_ranking.py --web-host 127.0.0.1`.
"""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import requests
from locust import FastHttpUser, events, task
from locust.env import Environment

from loadtests.crowd import Crowd
from loadtests.ending import write_at_end
from loadtests.pace import Pace
from loadtests.tally import Tally

REQUESTS_PER_USER_S = 5
SLATE_LENGTHS = (10, 20, 20, 20, 50)

tally = Tally()
write_at_end(tally)


crowds: dict[str, Crowd] = {}
seeds = count()


@events.test_start.add_listener
def read_user_count(environment: Environment, **_: Any) -> None:
    """Read the number of users from the service's `GET /v1/design`."""
    design = requests.get(f"{environment.host}/v1/design", timeout=5).json()
    crowds["feed"] = Crowd(design["world"]["users"])


class FeedUser(FastHttpUser):
    """A user that opens the feed five times per second on average. Request times are random, so users do not
    synchronise."""

    network_timeout = connection_timeout = 5.0

    def on_start(self) -> None:
        self.rng = random.Random(next(seeds))
        self.pace = Pace(self.rng, REQUESTS_PER_USER_S)
        self.seen: list[int] = []
        self.wait()  # all users start at once; the wait spreads their first requests

    def wait_time(self) -> float:
        return self.pace.wait_s()

    @task
    def open_feed(self) -> None:
        tally.late_ms.append(self.pace.send_lag_ms())
        body: dict[str, Any] = {
            "user_id": crowds["feed"].pick(self.rng),
            "k": self.rng.choice(SLATE_LENGTHS),
            "seen": self.seen,
        }
        with self.client.post("/v1/feed", json=body, catch_response=True, name="POST /v1/feed") as response:
            slate = tally.take(response, "slate").get("slate", ())
            self.seen = (self.seen + [item["post_id"] for item in slate if item["ad_id"] is None])[-100:]
