"""Replicas behind the balancer: which are ready, and how to kill one."""

from __future__ import annotations

import json
import subprocess

from lab.services.composing import Stack

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
