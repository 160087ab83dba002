"""Load test of the feed: Zipf-distributed users, some unknown, with various slate lengths and lists of seen posts.

Run `lab load feed_ranking`, or Locust directly: `locust -f loadtests/feed_ranking.py --web-host 127.0.0.1`.
"""

from __future__ import annotations

from typing import Any

import requests
from locust import events, task
from locust.env import Environment

from loadtests.crowd import Crowd
from loadtests.ending import write_at_end
from loadtests.paced_user import PacedUser
from loadtests.tally import Tally

SLATE_LENGTHS = (10, 20, 20, 20, 50)

tally = Tally()
write_at_end(tally)


crowds: dict[str, Crowd] = {}


@events.test_start.add_listener
def read_user_count(environment: Environment, **_: Any) -> None:
    """Read the number of users from the service's `GET /v1/design`."""
    design = requests.get(f"{environment.host}/v1/design", timeout=5).json()
    crowds["feed"] = Crowd(design["world"]["users"])


class FeedUser(PacedUser):
    """A user that opens the feed and sends the posts of its last slates as seen."""

    def on_start(self) -> None:
        self.seen: list[int] = []
        super().on_start()

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
