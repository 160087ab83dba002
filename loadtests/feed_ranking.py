"""Load on the feed: users by Zipf, some unknown, slates of different lengths, some with posts seen before.

Run it through `lab load feed_ranking`, or by hand: `locust -f loadtests/feed_ranking.py --web-host 127.0.0.1`.
"""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import requests
from locust import FastHttpUser, events, poisson, task
from locust.env import Environment

from loadtests.crowd import Crowd
from loadtests.verdict import DegradedCounter, watch_budgets

REQUESTS_PER_USER_S = 5
SLATE_LENGTHS = (10, 20, 20, 20, 50)

degraded = DegradedCounter()
watch_budgets(degraded)


crowds: dict[str, Crowd] = {}
seeds = count()


@events.test_start.add_listener
def size_the_crowd(environment: Environment, **_: Any) -> None:
    """As many users as the served world has."""
    design = requests.get(f"{environment.host}/v1/design", timeout=5).json()
    crowds["feed"] = Crowd(design["world"]["users"])


class FeedUser(FastHttpUser):
    """Opens the feed about five times a second, at random moments.

    Not `constant_throughput`: it would keep all users in step, and twenty requests at the same instant measure a
    queue that no real crowd makes.
    """

    wait_time = poisson(REQUESTS_PER_USER_S)
    network_timeout = connection_timeout = 5.0

    def on_start(self) -> None:
        self.rng = random.Random(next(seeds))
        self.seen: list[int] = []

    @task
    def open_feed(self) -> None:
        body: dict[str, Any] = {
            "user_id": crowds["feed"].pick(self.rng),
            "k": self.rng.choice(SLATE_LENGTHS),
            "seen": self.seen,
        }
        with self.client.post("/v1/feed", json=body, catch_response=True, name="POST /v1/feed") as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
                return
            answer = response.json()
            if not answer["slate"]:
                response.failure("empty slate")
            degraded.count += bool(answer["degraded"])
            self.seen = (self.seen + [item["post_id"] for item in answer["slate"] if item["ad_id"] is None])[-100:]
