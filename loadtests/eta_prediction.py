"""Load test of ride ETA: trips between random places, of all ride types, most of them with a driver, and some batches.

Run `lab load eta_prediction`, or Locust directly: `locust -f loadtests/eta_prediction.py --web-host 127.0.0.1`.
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

PATH, BATCH, RIDES = "/v1/eta", "/v1/eta/batch", ("standard", "standard", "standard", "pooled", "airport")
HAS_DRIVER, BATCH_SHARE, PAIRS = 0.8, 0.02, 200
"""shares of requests that name a driver, and that ask for the times from `PAIRS` drivers to one rider"""

tally = Tally()
write_at_end(tally)


crowds: dict[str, Crowd] = {}
nodes: list[int] = []


@events.test_start.add_listener
def read_city(environment: Environment, **_: Any) -> None:
    """Read the number of drivers and of nodes from the service's `GET /v1/design`."""
    world = requests.get(f"{environment.host}/v1/design", timeout=5).json()["world"]
    crowds["drivers"] = Crowd(world["drivers"])
    nodes[:] = range(world["city"]["side"] ** 2 // 2)


class Rider(PacedUser):
    """A user that asks for quotes, one trip at a time or for many drivers at once."""

    @task
    def ask(self) -> None:
        tally.late_ms.append(self.pace.send_lag_ms())
        if self.rng.random() < BATCH_SHARE:
            self.ask_for_many()
        else:
            self.ask_for_one()

    def ask_for_one(self) -> None:
        origin, destination = self.rng.sample(nodes, 2)
        body: dict[str, Any] = {
            "origin": {"node": origin},
            "destination": {"node": destination},
            "ride_type": self.rng.choice(RIDES),
        }
        if self.rng.random() < HAS_DRIVER:
            body["driver_id"] = crowds["drivers"].pick(self.rng)
        with self.client.post(PATH, json=body, catch_response=True, name=f"POST {PATH}") as response:
            tally.take(response, "routes")

    def ask_for_many(self) -> None:
        origins = [{"node": node} for node in self.rng.choices(nodes, k=PAIRS)]
        body = {"origins": origins, "destination": {"node": self.rng.choice(nodes)}}
        with self.client.post(BATCH, json=body, catch_response=True, name=f"POST {BATCH}") as response:
            tally.take(response, "quoted_min", kind="batch")
