"""Load test of the ads: Zipf-distributed users, some unknown, on pages of various publishers, devices and slot counts.

Run `lab load ctr_prediction`, or Locust directly: `locust -f loadtests/ctr_prediction.py --web-host 127.0.0.1`.
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

PATH, DEVICES, SLOTS = "/v1/ads/rank", ("phone", "phone", "tablet", "desktop"), (2, 3, 4)

tally = Tally()
write_at_end(tally)


crowds: dict[str, Crowd] = {}
publishers: list[int] = []


@events.test_start.add_listener
def read_user_count(environment: Environment, **_: Any) -> None:
    """Read the numbers of users and publishers from the service's `GET /v1/design`."""
    world = requests.get(f"{environment.host}/v1/design", timeout=5).json()["world"]
    crowds["ads"] = Crowd(world["users"])
    publishers[:] = range(world["publishers"])


class PageUser(PacedUser):
    """A user that opens pages with ad slots."""

    @task
    def open_page(self) -> None:
        tally.late_ms.append(self.pace.send_lag_ms())
        body: dict[str, Any] = {
            "user_id": crowds["ads"].pick(self.rng),
            "context": {"publisher_id": self.rng.choice(publishers), "device": self.rng.choice(DEVICES)},
            "slots": self.rng.choice(SLOTS),
        }
        with self.client.post(PATH, json=body, catch_response=True, name=f"POST {PATH}") as response:
            tally.take(response, "slate")
