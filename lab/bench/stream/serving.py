"""The feed while events flow: how soon a published post is a candidate, and what serving costs without a broker.

Both are measured over HTTP, on a `lab up` of their own. Windows with the broker up and down take turns, with the same
arrivals in both windows of a pair. "Down" is the fault switch of the service, which takes the broker from it; in some
pairs the broker's process is killed instead, twice, while the supervisor starts it again, so that the worker loses it
too, and everybody connects again. A window with the broker down begins when it goes; what waited meanwhile is sent
before the next window begins.
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
    """A creator whom somebody follows, and a topic of theirs."""

    creator_id: int
    topic: int


@dataclass(frozen=True)
class Pair:
    """p99 in milliseconds of two windows with the same arrivals."""

    up_ms: float
    down_ms: float
    is_killed: bool = False

    @property
    def ratio(self) -> float:
        return self.down_ms / self.up_ms


@dataclass
class ServingBench:
    """Needs a lab that is up."""

    design: Design
    lab: OwnLab
    _followed: list[Followed] = field(default_factory=list)

    def question(self, number: int) -> dict[str, Any]:
        """The body of one request; users in no order, one of twenty unknown."""
        users = self.design.configuration(self.lab.settings.preset).world.users
        return {"user_id": 10**9 + number if number % 20 == 19 else number * 7919 % users, "k": 20, "seed": number}

    def visible_s(self, seed: int, publications: int = PUBLICATIONS) -> list[float]:
        """Seconds from each `POST /v1/posts` until the post can be a candidate for those who follow its creator."""
        creators = self._followed or self._find_followed()
        self._followed = creators
        rng = np.random.default_rng(seed)
        due = np.cumsum(rng.exponential(1 / PUBLISHED_PER_S, publications))
        first_id = time.time_ns() // 1000  # below 2^53, and new in each run
        with self._load(LIGHT_PER_S, seed), ThreadPoolExecutor(16) as pool:
            began, futures = time.perf_counter(), []
            for number, at_s in enumerate(due.tolist()):
                time.sleep(max(0.0, began + at_s - time.perf_counter()))
                whose = creators[int(rng.integers(len(creators)))]
                futures.append(pool.submit(self._publish, first_id + number, whose))
            return [future.result() for future in futures]

    def pairs(self, count: int) -> list[Pair]:
        """`count` pairs, two of them with a broker that is killed: as far apart as the supervisor asks for."""
        client = Client(self.lab.url, self.design.ask.path, self.question)
        rate_per_s = SHARE_OF_CAPACITY * capacity_per_s(client, clients=CLIENTS, seconds=CAPACITY_S)
        faults = SwitchedFaults(self.lab.url)
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
                faults.mend(DOWN)
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
        """Creators of posts that the service itself found by following."""
        caller, found = Caller(self.lab.url, GIVEN_UP_S), set[Followed]()
        for user in range(FOLLOWERS):
            answer = caller.post(self.design.ask.path, {"user_id": user, "k": WIDE, "seed": user}).body
            rows = [row for row in answer.get(self.design.ask.rows, ()) if "follow" in row["sources"]]
            found.update(Followed(row["creator_id"], row["topic"]) for row in rows)
        caller.close()
        if not found:
            raise LabError("this world has no follow relations")
        return sorted(found, key=lambda one: one.creator_id)

    def _publish(self, post_id: int, whose: Followed) -> float:
        """Raises `LabError` if the post is refused, or not there after `GIVEN_UP_S`."""
        caller, began = Caller(self.lab.url, GIVEN_UP_S), time.perf_counter()
        post = {"post_id": post_id, "creator_id": whose.creator_id, "topic": whose.topic}
        status = caller.post("/v1/posts", {"posts": [post]}).status
        if status != 202:
            raise LabError(f"a post was answered with {status}")
        while caller.get(f"/v1/posts/{post_id}").status != 200:
            if time.perf_counter() - began > GIVEN_UP_S:
                raise LabError(f"a post is no candidate {GIVEN_UP_S:.0f} s after it was acknowledged")
            time.sleep(POLL_S)
        took_s = time.perf_counter() - began
        caller.close()
        return took_s


def p99_ms(sent: Sequence[Sent]) -> float:
    """p99 of the latencies; a request without an answer is one that lasts for ever."""
    if not sent:
        raise LabError("no request was sent")
    latencies = [one.latency_ms if one.status == 200 else math.inf for one in sent]
    return float(np.quantile(latencies, 0.99, method="higher"))


def ratio_of_medians(pairs: Sequence[Pair], samples: int = 2000) -> tuple[float, float, float]:
    """(median of p99 while down / median while up, and its 95% interval by drawing pairs again)."""
    values = np.array([(pair.down_ms, pair.up_ms) for pair in pairs])
    drawn = values[np.random.default_rng(0).integers(len(values), size=(samples, len(values)))]
    down, up = np.moveaxis(np.median(drawn, axis=1), -1, 0)
    low, high = np.quantile(down / up, (0.025, 0.975))
    middle = np.median(values, axis=0)
    return float(middle[0] / middle[1]), float(low), float(high)


def _pair(number: int, up: Callable[[int], float], down: Callable[[int], float]) -> tuple[float, float]:
    """(up, down). Which comes first changes from pair to pair: a machine that gets slower is no advantage to either."""
    if number % 2:
        down_ms = down(number)
        return up(number), down_ms
    return up(number), down(number)
