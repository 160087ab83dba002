"""A crashed service is restarted, and an overloaded service sheds requests and recovers."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx

from tests.e2e.conftest import Lab, alive, answers
from tests.support.waiting import until


def test_crashed_service_is_restarted(lab: Lab) -> None:
    first = lab.service_pid
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive([first]), "the end of the killed process")
    until(lambda: answers(lab.url), "the restarted service")
    until(lambda: lab.has_new_process(first), "the new process in `lab status`")


def test_service_with_a_hanging_feature_store_stops_on_sigterm(lab: Lab) -> None:
    lab.run("fault", "feed_ranking", "feature_store", "hang")
    assert lab.run("ask", "feed_ranking", "--json", parse=True)["degraded"]
    first = lab.service_pid
    os.kill(first, signal.SIGTERM)
    until(lambda: not alive([first]), "the end of the process despite hanging calls")
    until(lambda: answers(lab.url), "the restarted service")
    assert not lab.run("ask", "feed_ranking", "--json", parse=True)["degraded"], "a new process has no fault"


def test_overload_is_shed_with_503_and_retry_after(lab: Lab) -> None:
    """With more concurrent requests than capacity, some are refused, none fails, and the service recovers."""

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
