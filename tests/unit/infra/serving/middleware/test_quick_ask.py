"""The fast path answers plain requests like the framework and leaves all others to it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import Field
from starlette.responses import JSONResponse, Response

from infra.errors import BulkheadFull, UsageError
from infra.serving.middleware.body_limit import BodyLimit
from infra.serving.middleware.quick_ask import QuickAsk
from infra.serving.problems import Overloaded, add_problem_handlers
from infra.serving.schemas import StrictModel

PATH, MOST = "/v1/sum", 200
JSON = {"content-type": "application/json"}


class Sum(StrictModel):
    numbers: list[int] = Field(min_length=1)


class Service:
    """Returns a sum; counts the requests on the fast path and in the framework."""

    def __init__(self) -> None:
        self.quick = self.slow = 0
        self.error: Exception | None = None
        self.state: dict[str, Any] = {}
        self.app = FastAPI()
        add_problem_handlers(self.app)
        self.app.add_middleware(QuickAsk, path=PATH, model=Sum, answer=self._quickly)
        self.app.add_middleware(BodyLimit, max_bytes=MOST)
        self.app.post(PATH)(self._slowly)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    async def _quickly(self, state: dict[str, Any], body: Sum) -> Response:
        self.quick += 1
        state["degraded"] = ["a bit"]
        self.state = state
        return self._answer(body)

    async def _slowly(self, request: Request, body: Sum, explain: bool = False) -> Response:
        self.slow += 1
        return self._answer(body)

    def _answer(self, body: Sum) -> Response:
        if self.error is not None:
            raise self.error
        return JSONResponse({"sum": sum(body.numbers)})


@pytest.fixture
def service() -> Service:
    return Service()


def test_plain_request_takes_the_fast_path_and_sets_its_state(service: Service) -> None:
    answer = service.client.post(PATH, json={"numbers": [1, 2]})
    assert (answer.status_code, answer.json()) == (200, {"sum": 3})
    assert (service.quick, service.slow) == (1, 0)
    assert service.state["degraded"] == ["a bit"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [(f"{PATH}?explain=true", JSON), (PATH, {"content-type": "application/json; charset=utf-8"})],
)
def test_request_with_a_query_or_other_content_type_goes_to_the_framework(
    service: Service, path: str, headers: dict[str, str]
) -> None:
    answer = service.client.post(path, content=b'{"numbers": [1, 2]}', headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"sum": 3})
    assert (service.quick, service.slow) == (0, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"numbers": []}', 422),
        (b'{"numbers": [1], "more": 1}', 422),
        (b'{"numbers": ["x"]}', 422),
        (b'{"numbers": [1', 400),
        (b"", 422),
        (b'{"numbers": [' + b"1," * MOST + b"1]}", 413),
    ],
)
def test_invalid_body_is_explained_by_the_framework(service: Service, body: bytes, status: int) -> None:
    answer = service.client.post(PATH, content=body, headers=JSON)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert service.quick == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Overloaded("full"), 503),
        (BulkheadFull("full"), 503),
        (UsageError("no such thing"), 422),
        (ValueError("x"), 500),
    ],
)
def test_errors_return_the_same_problem_on_both_paths(service: Service, error: Exception, status: int) -> None:
    service.error = error
    either = [service.client.post(path, json={"numbers": [1]}) for path in (PATH, f"{PATH}?explain=true")]
    assert [answer.status_code for answer in either] == [status, status]
    assert either[0].json() == either[1].json()
    assert either[0].headers.get("retry-after") == either[1].headers.get("retry-after")
    assert (service.quick, service.slow) == (1, 1)


def test_fast_path_ignores_other_paths_and_methods(service: Service) -> None:
    assert service.client.get(PATH).status_code == 405
    assert service.client.post("/v1/other", json={"numbers": [1]}).status_code == 404
    assert service.quick == 0
