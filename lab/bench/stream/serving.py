"""Measures the feed with live events: the delay until a published post is a candidate, and latency without a broker.

Both are measured over HTTP against a separate `lab up`. Windows with the broker up and down alternate, and both windows
of a pair have the same arrivals. In most pairs the service's fault switch cuts the service off from the broker. In two
pairs the broker process is killed twice instead; the supervisor restarts the broker, and the service and the worker
reconnect. A window with the broker down starts when the broker goes down. The service sends its queued events before
the next window starts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

import numpy as np

from infra.design import Design
from infra.errors import LabError
from infra.evaluation.drill import Inject
from lab.bench.up import OwnLab
from lab.drills.faults import SwitchedFaults
from lab.drills.load import Load, Sent
from lab.load.caller import Caller
from lab.load.open_loop import Client, capacity_per_s

PUBLICATIONS, PUBLISHED_PER_S, POLL_S, GIVEN_UP_S = 200, 8.0, 0.004, 20.0
LIGHT_PER_S = 10.0
FOLLOWERS, WIDE = 200, 100
CLIENTS, CAPACITY_S, SHARE_OF_CAPACITY = 4, 5.0, 0.3
WINDOW_S, SETTLE_S = 10.0, 2.0
DOWN = Inject("stream", "down", service="kafka")


@dataclass(frozen=True)
class Followed:
    """A creator with at least one follower, and one topic of the creator's posts."""

    creator_id: int
    topic: int


@dataclass(frozen=True)
class Pair:
    """p99 latencies in milliseconds of two windows with the same arrivals, with the broker up and down."""

    up_ms: float
    down_ms: float
    is_killed: bool = False

    @property
    def ratio(self) -> float:
        return self.down_ms / self.up_ms


@dataclass
class ServingBench:
    """Benchmarks of the feed against a running lab."""

    design: Design
    lab: OwnLab
    _followed: list[Followed] = field(default_factory=list)

    def question(self, number: int) -> dict[str, Any]:
        """Return the body of request `number`. User ids are scattered; one in twenty is unknown."""
        users = self.design.configuration(self.lab.settings.preset).world.users
        return {"user_id": 10**9 + number if number % 20 == 19 else number * 7919 % users, "k": 20, "seed": number}

    def visible_s(self, seed: int, publications: int = PUBLICATIONS) -> list[float]:
        """Seconds from each `POST /v1/posts` until the post can be a candidate for the followers of its creator."""
        creators = self._followed or self._find_followed()
        self._followed = creators
        rng = np.random.default_rng(seed)
        due = np.cumsum(rng.exponential(1 / PUBLISHED_PER_S, publications))
        first_id = time.time_ns() // 1000  # below 2^53, and unique to this run
        with self._load(LIGHT_PER_S, seed), ThreadPoolExecutor(16) as pool:
            began, futures = time.perf_counter(), []
            for number, at_s in enumerate(due.tolist()):
                time.sleep(max(0.0, began + at_s - time.perf_counter()))
                creator = creators[int(rng.integers(len(creators)))]
                futures.append(pool.submit(self._publish, first_id + number, creator))
            return [future.result() for future in futures]

    def pairs(self, count: int) -> list[Pair]:
        """Measure `count` pairs, two of them with a killed broker.

        The two pairs lie far apart, because the supervisor gives up on a process that ends too often in a minute.
        """
        client = Client(self.lab.url, self.design.ask.path, self.question)
        rate_per_s = SHARE_OF_CAPACITY * capacity_per_s(client, clients=CLIENTS, seconds=CAPACITY_S)
        faults = SwitchedFaults([self.lab.url])
        faults.check(DOWN)

        def window(number: int) -> float:
            with self._load(rate_per_s, number) as load:
                time.sleep(WINDOW_S)
            return p99_ms(load.sent)

        def switched(number: int) -> float:
            faults.inject(DOWN)
            try:
                return window(number)
            finally:
                faults.clear(DOWN)
                self._settle()

        def killed(number: int) -> float:
            self.lab.kill_broker()
            again = Timer(WINDOW_S / 2, self.lab.kill_broker)
            again.start()
            try:
                return window(number)
            finally:
                again.join()
                self._settle()

        self._settle()
        is_killed = [number in (count // 2 - 1, count - 1) for number in range(count)]
        return [
            Pair(*_pair(number, window, killed if kill else switched), is_killed=kill)
            for number, kill in enumerate(is_killed)
        ]

    def _load(self, rate_per_s: float, seed: int) -> Load:
        return Load(self.lab.url, self.design.ask.path, self.design.ask.rows, self.question, rate_per_s, seed)

    def _settle(self) -> None:
        self.lab.await_stream()
        time.sleep(SETTLE_S)

    def _find_followed(self) -> list[Followed]:
        """Find followed creators: the creators of posts that the service returns from its follow source."""
        caller, found = Caller(self.lab.url, GIVEN_UP_S), set[Followed]()
        for user in range(FOLLOWERS):
            answer = caller.post(self.design.ask.path, {"user_id": user, "k": WIDE, "seed": user}).body
            rows = [row for row in answer.get(self.design.ask.rows, ()) if "follow" in row["sources"]]
            found.update(Followed(row["creator_id"], row["topic"]) for row in rows)
        caller.close()
        if not found:
            raise LabError("this world has no follow relations")
        return sorted(found, key=lambda one: one.creator_id)

    def _publish(self, post_id: int, creator: Followed) -> float:
        """Publish a post and return the seconds until `GET /v1/posts/ID` finds it.

        Raises `LabError` if the service refuses the post, or does not find it within `GIVEN_UP_S`.
        """
        caller, began = Caller(self.lab.url, GIVEN_UP_S), time.perf_counter()
        post = {"post_id": post_id, "creator_id": creator.creator_id, "topic": creator.topic}
        status = caller.post("/v1/posts", {"posts": [post]}).status
        if status != 202:
            raise LabError(f"the service answered a post with status {status}")
        while caller.get(f"/v1/posts/{post_id}").status != 200:
            if time.perf_counter() - began > GIVEN_UP_S:
                raise LabError(f"a post is not among the candidates {GIVEN_UP_S:.0f} s after its acknowledgement")
            time.sleep(POLL_S)
        took_s = time.perf_counter() - began
        caller.close()
        return took_s


def p99_ms(sent: Sequence[Sent]) -> float:
    """p99 of the latencies in milliseconds; a failed request counts as infinitely slow."""
    if not sent:
        raise LabError("no request was sent")
    latencies = [one.latency_ms if one.status == 200 else math.inf for one in sent]
    return float(np.quantile(latencies, 0.99, method="higher"))


def ratio_of_medians(pairs: Sequence[Pair], samples: int = 2000) -> tuple[float, float, float]:
    """Return (median p99 with the broker down / median p99 with it up, low and high end of its 95% bootstrap interval
    over pairs)."""
    values = np.array([(pair.down_ms, pair.up_ms) for pair in pairs])
    drawn = values[np.random.default_rng(0).integers(len(values), size=(samples, len(values)))]
    down, up = np.moveaxis(np.median(drawn, axis=1), -1, 0)
    low, high = np.quantile(down / up, (0.025, 0.975))
    middle = np.median(values, axis=0)
    return float(middle[0] / middle[1]), float(low), float(high)


def _pair(number: int, up: Callable[[int], float], down: Callable[[int], float]) -> tuple[float, float]:
    """Measure one pair and return (up, down) in milliseconds. The order alternates, so that a slowdown of the machine
    favours neither."""
    if number % 2:
        down_ms = down(number)
        return up(number), down_ms
    return up(number), down(number)
