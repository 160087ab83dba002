"""Replicas behind the balancer: which are ready, how to kill one, and a steady load that records each request."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from lab.services.composing import Stack

CLIENTS, PAUSE_S, PATIENCE_S = 6, 0.2, 20.0
READ_METRICS = "exec 3<>/dev/tcp/127.0.0.1/8404; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
SERVER, UP = 'haproxy_server_status{proxy="feed_ranking",server="', 'state="UP"} 1'
GET = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
except OSError:
    print(0)
"""


@dataclass(frozen=True)
class Sent:
    """One request. `status` is 0 without an answer."""

    began: float
    ended: float
    status: int


@dataclass
class SteadyLoad:
    """Requests so far. Times are those of `time.monotonic`."""

    sent: list[Sent] = field(default_factory=list)

    def failed(self) -> list[Sent]:
        return [one for one in self.sent if one.status != 200]

    def since(self, at: float) -> list[Sent]:
        return [one for one in self.sent if one.began >= at]

    def between(self, began: float, ended: float) -> list[Sent]:
        """The requests that were in flight at some time from `began` to `ended`."""
        return [one for one in self.sent if one.began < ended and one.ended > began]


@contextmanager
def steady_load(url: str, body: Mapping[str, Any]) -> Iterator[SteadyLoad]:
    """Post `body` from a few clients with a connection each, until the block ends."""
    load, stop = SteadyLoad(), threading.Event()

    def run() -> None:
        with httpx.Client(timeout=PATIENCE_S) as client:
            while not stop.wait(PAUSE_S):
                began = time.monotonic()
                try:
                    status = client.post(url, json=dict(body)).status_code
                except httpx.HTTPError:
                    status = 0
                load.sent.append(Sent(began, time.monotonic(), status))

    threads = [threading.Thread(target=run, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S + 5)


def replicas(stack: Stack, service: str) -> list[str]:
    """The ids of the running containers of a service."""
    return stack.compose("ps", "--quiet", service).split()


def ready_replicas(stack: Stack) -> set[str]:
    """The servers of the feed that the balancer sends requests to, as it reports them itself."""
    lines = stack.compose("exec", "-T", "balancer", "bash", "-c", READ_METRICS).splitlines()
    return {line[len(SERVER) :].partition('"')[0] for line in lines if line.startswith(SERVER) and UP in line}


def are_ready(stack: Stack, count: int) -> bool:
    """True if the feed has `count` replicas, each of them is ready, and the balancer sends requests to all.

    HAProxy marks a new replica as up until its first checks fail, so this function also asks each replica.
    """
    containers = replicas(stack, "feed")
    if len(containers) != count or len(ready_replicas(stack)) != count:
        return False
    return all(status_of(one, "http://127.0.0.1:8010/readyz") == 200 for one in containers)


def kill(container: str) -> None:
    subprocess.run(["docker", "kill", container], check=True, capture_output=True, timeout=60)


def status_of(container: str, url: str) -> int:
    """The status that a replica answers to a GET of `url`, which is an address inside of its container; 0 without an
    answer."""
    command = ["docker", "exec", container, "python", "-c", GET, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return int(json.loads(done.stdout))
