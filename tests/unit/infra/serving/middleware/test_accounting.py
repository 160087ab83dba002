"""Every request of the endpoint is counted once with its outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from infra.serving.middleware.accounting import Accounting, outcome_of
from infra.serving.middleware.body_limit import BodyLimit
from infra.telemetry.metrics import OUTCOMES, ServiceMetrics
from tests.support.asgi import DISCONNECT, Answer, Endpoint, chunks, drive
from tests.support.tiny import tiny_design

PATH = "/v1/tiny"


def counts(metrics: ServiceMetrics) -> dict[str, float]:
    """Exported counters without outcomes that are zero."""
    samples = {o: metrics.registry.get_sample_value("lab_responses_total", {"outcome": o}) for o in OUTCOMES}
    return {"requests": metrics.registry.get_sample_value("lab_requests_total") or 0.0} | {
        name: value for name, value in samples.items() if value
    }


def timed(metrics: ServiceMetrics) -> float | None:
    return metrics.registry.get_sample_value("lab_request_seconds_count")


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(tiny_design())


@pytest.mark.parametrize(
    ("status", "degraded", "outcome"),
    [
        (200, False, "ok"),
        (200, True, "degraded"),
        (304, False, "ok"),
        (400, False, "rejected"),
        (408, False, "rejected"),
        (413, True, "rejected"),
        (422, False, "rejected"),
        (500, False, "failed"),
        (502, True, "failed"),
        (503, False, "shed"),
        (503, True, "shed"),
        (0, False, "failed"),
        (0, True, "failed"),
    ],
)
def test_status_maps_to_its_outcome(status: int, degraded: bool, outcome: str) -> None:
    assert outcome_of(status, degraded=degraded) == outcome


@given(status=st.integers(0, 599), degraded=st.booleans())
@settings(deadline=None, max_examples=50)
def test_every_status_maps_to_an_exported_outcome(status: int, degraded: bool) -> None:
    assert outcome_of(status, degraded=degraded) in OUTCOMES


@pytest.mark.parametrize(
    ("status", "state", "outcome"),
    [
        (200, {}, "ok"),
        (200, {"degraded": ["features_stale"]}, "degraded"),
        (200, {"degraded": []}, "ok"),
        (503, {}, "shed"),
        (422, {}, "rejected"),
        (0, {}, "failed"),
    ],
)
def test_request_is_counted_once_with_its_outcome(
    metrics: ServiceMetrics, status: int, state: dict[str, Any], outcome: str
) -> None:
    answer = asyncio.run(drive(Accounting(Endpoint(status, state=state), metrics, PATH), chunks(b"{}"), path=PATH))
    assert answer.status == status
    assert counts(metrics) == {"requests": 1, outcome: 1}
    assert timed(metrics) == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError()])
def test_exception_counts_as_failed_and_passes_through(metrics: ServiceMetrics, error: BaseException) -> None:
    app = Accounting(Endpoint(error=error), metrics, PATH)
    with pytest.raises(type(error)):
        asyncio.run(drive(app, chunks(b"{}"), path=PATH))
    assert counts(metrics) == {"requests": 1, "failed": 1}


def test_response_that_breaks_off_counts_as_failed(metrics: ServiceMetrics) -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        asyncio.run(drive(Accounting(breaks_off, metrics, PATH), chunks(b"{}"), path=PATH))
    assert counts(metrics) == {"requests": 1, "failed": 1}


@given(stories=st.lists(st.sampled_from([200, 422, 503, 500, 0, "raises", "degraded", "too large", "goes away"])))
@settings(deadline=None, max_examples=40)
def test_number_of_requests_is_the_sum_of_all_outcomes(stories: list[int | str]) -> None:
    metrics = ServiceMetrics(tiny_design())

    async def ask(story: int | str) -> None:
        endpoint = Endpoint(story if isinstance(story, int) else 200)
        endpoint.error = ValueError("a bug") if story == "raises" else None
        endpoint.state = {"degraded": ["x"]} if story == "degraded" else {}
        body = {"too large": chunks(b"x" * 20), "goes away": [DISCONNECT]}.get(str(story), chunks(b"{}"))
        try:
            await drive(Accounting(BodyLimit(endpoint, 10), metrics, PATH), body, path=PATH)
        except ValueError:
            assert story == "raises"

    async def all_at_once() -> None:
        await asyncio.gather(*map(ask, stories))

    asyncio.run(all_at_once())
    found = counts(metrics)
    assert found.pop("requests") == len(stories)
    assert sum(found.values()) == len(stories)
    expected = {"degraded": "degraded", "too large": "rejected", "raises": "failed", "goes away": "failed"}
    expected |= {"200": "ok", "422": "rejected", "503": "shed", "500": "failed", "0": "failed"}
    outcomes = [expected[str(story)] for story in stories]
    assert found == {outcome: outcomes.count(outcome) for outcome in set(outcomes)}


@pytest.mark.parametrize(
    "scope", [{"path": "/healthz"}, {"method": "GET", "path": PATH}, {"type": "lifespan", "path": PATH}]
)
def test_requests_of_other_paths_and_methods_are_not_counted(metrics: ServiceMetrics, scope: dict[str, str]) -> None:
    asyncio.run(drive(Accounting(Endpoint(), metrics, PATH), chunks(b""), **scope))
    assert counts(metrics) == {"requests": 0}
    assert not timed(metrics)


def test_accounting_passes_the_response_on_unchanged(metrics: ServiceMetrics) -> None:
    direct: Answer = asyncio.run(drive(Endpoint(), chunks(b"{}"), path=PATH))
    counted = asyncio.run(drive(Accounting(Endpoint(), metrics, PATH), chunks(b"{}"), path=PATH))
    assert counted.messages == direct.messages
