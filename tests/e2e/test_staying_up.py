"""A service that crashes comes back; one that is asked for too much says so and goes on."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx

from tests.e2e.conftest import Lab, alive, answers
from tests.support.waiting import until


def test_a_crashed_service_comes_back(lab: Lab) -> None:
    first = lab.service_pid
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive([first]), "killed")
    until(lambda: answers(lab.url), "restarted")
    until(lambda: lab.has_new_process(first), "the new process is known")


def test_a_service_whose_store_hangs_can_still_be_stopped(lab: Lab) -> None:
    lab.run("fault", "feed_ranking", "feature_store", "hang")
    assert lab.run("ask", "feed_ranking", "--json", parse=True)["degraded"]
    first = lab.service_pid
    os.kill(first, signal.SIGTERM)
    until(lambda: not alive([first]), "it ends although calls hang")
    until(lambda: answers(lab.url), "restarted")
    assert not lab.run("ask", "feed_ranking", "--json", parse=True)["degraded"], "a new process has no fault"


def test_overload_is_shed_with_503_and_retry_after(lab: Lab) -> None:
    """More requests at once than there are places: some are refused, none fails, and it recovers."""

    async def flood() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=120)
        async with httpx.AsyncClient(limits=limits, timeout=120) as client:
            body = {"user_id": 7, "k": 200}
            return await asyncio.gather(*(client.post(f"{lab.url}/v1/feed", json=body) for _ in range(200)))

    with lab.fault("feature_store", "slow", "--delay-s", "0.035"):
        responses = asyncio.run(flood())
    assert {response.status_code for response in responses} <= {200, 503}
    shed = [response for response in responses if response.status_code == 503]
    assert shed
    assert all(response.headers["retry-after"] for response in shed)
    until(lambda: not lab.run("ask", "feed_ranking", "--json", parse=True)["degraded"], "recovery")
