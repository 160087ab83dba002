"""What the composed setting promises while something fails: an alert that is seen, and a replica that is not missed."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import httpx

from infra.errors import LabError
from lab.bench.compose.replicas import are_ready, kill, replicas
from lab.bench.compose.starts import FEED, Found, up
from lab.bench.steady_load import steady_load
from lab.designs import find_design
from lab.output.console import err
from lab.services.composing import Stack

ALERT = "FeatureStoreDown"
SEEN_S, ENDED_S, REQUESTS = 300.0, 300.0, 60


def measure_faults(stack: Stack, wanted: Collection[str], rounds: int, found: Found) -> None:
    """Stop Redis, and kill one of two replicas of the feed, `rounds` times each."""
    up(stack, (), [find_design(FEED)])
    for number in range(rounds):
        if "alert_seen_s" in wanted:
            err.print(f"stopping Redis, {number + 1} of {rounds} …")
            found.setdefault("alert_seen_s", []).append(alert_seen_s(stack))
        if "replica_lost" in wanted:
            err.print(f"killing a replica, {number + 1} of {rounds} …")
            found.setdefault("replica_lost", []).append(lost_share(stack))


def alert_seen_s(stack: Stack) -> float:
    """Seconds from the stop of Redis until the monitor lists the alert. Starts Redis again and waits for its end."""
    stopped = time.monotonic()
    stack.compose("stop", "redis")
    stack.await_(lambda: ALERT in _active(stack), "the alert", SEEN_S)
    seen = time.monotonic() - stopped
    stack.compose("start", "redis")
    stack.await_(lambda: ALERT not in _active(stack), "the end of the alert", ENDED_S)
    return seen


def lost_share(stack: Stack) -> float:
    """Kill one of two replicas under load: failed requests divided by those in flight at the kill.

    Raises `LabError` if a request failed that began later, or if none was in flight.
    """
    stack.compose("up", "--detach", "--no-recreate", "--scale", "feed=2", "feed")
    stack.await_(lambda: are_ready(stack, 2), "two ready replicas")
    with steady_load(f"{stack.url}/v1/feed", find_design(FEED).ask.example()) as load:
        stack.await_(lambda: len(load.sent) > REQUESTS, "requests to both replicas")
        began = time.monotonic()
        kill(replicas(stack, "feed")[0])
        ended = time.monotonic()
        stack.await_(lambda: len(load.since(ended)) > REQUESTS, "requests after the kill")
    in_flight = load.between(began, ended)
    if later := [one for one in load.failed() if one not in in_flight]:
        raise LabError(f"{len(later)} requests failed that were not in flight when the replica was killed")
    return len(load.failed()) / max(len(in_flight), 1)


def _active(stack: Stack) -> set[str]:
    """The names of the alerts that the monitor lists as firing."""
    try:
        found: Any = httpx.get(f"http://127.0.0.1:{stack.ports['LAB_MONITOR_PORT']}/v1/alerts", timeout=10).json()
    except httpx.HTTPError:
        return set()
    return {alert["labels"]["alertname"] for alert in found["active"]}
