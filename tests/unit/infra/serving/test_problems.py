"""Every error response is a problem document with the right status, the invalid field and no internals."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from httpx import Response
from pydantic import Field

from infra.errors import CorruptArtifact, FeatureStoreUnavailable, UsageError
from infra.serving.problems import MEDIA_TYPE, Overloaded, Problem, add_problem_handlers, problem
from infra.serving.schemas import StrictModel

SECRET = "hunter2"
ERRORS: dict[str, Exception] = {
    "usage": UsageError("no such knob", hint="there are: a, b"),
    "plain usage": UsageError("no such knob"),
    "dependency": FeatureStoreUnavailable("the store is down"),
    "overloaded": Overloaded("3 requests wait already"),
    "bug": ZeroDivisionError(SECRET),
    "corrupt": CorruptArtifact(SECRET),
    "teapot": HTTPException(418, "short and stout", headers={"X-Tea": "green"}),
}


class Body(StrictModel):
    x: Annotated[float, Field(allow_inf_nan=False)]
    count: Annotated[int, Field(ge=1, le=10)] = 1
    seen: tuple[int, ...] = Field((), strict=False)


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    add_problem_handlers(app)

    @app.post("/ask")
    async def ask(body: Body) -> dict[str, float]:
        return {"x": body.x}

    @app.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise ERRORS[name]

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    return TestClient(app, raise_server_exceptions=False)


def document(response: Response) -> Problem:
    """Return the body, checked to be a problem document with the status of its response."""
    assert response.headers["content-type"] == MEDIA_TYPE
    found = Problem.model_validate_json(response.content)
    assert found.status == response.status_code
    assert found.title
    assert found.type == "about:blank"
    return found


def post(client: TestClient, raw: bytes) -> Response:
    response: Any = client.post("/ask", content=raw, headers={"content-type": "application/json"})
    return response


def test_valid_request_is_answered(client: TestClient) -> None:
    assert post(client, b'{"x": 1.5}').json() == {"x": 1.5}


@pytest.mark.parametrize("raw", [b"{", b"{'x': 1}", b'{"x": 1}}', b"\xff\xfe{}", b'{"x": "' + b"\xc3" + b'"}'])
def test_invalid_json_is_a_bad_request(client: TestClient, raw: bytes) -> None:
    response = post(client, raw)
    assert response.status_code == 400
    assert document(response).title == "Bad request"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"x": "hunter2"}', "x"),
        (b'{"x": 1, "count": 0}', "count"),
        (b'{"x": 1, "count": "3"}', "count"),
        (b'{"x": 1, "seen": [1, "hunter2"]}', "seen.1"),
        (b'{"count": 1}', "x"),
        (b'{"x": 1, "extra": "hunter2"}', "extra"),
        (b'"hunter2"', "body"),
        (b"", "body"),
    ],
)
def test_invalid_field_is_named_and_its_value_is_not_echoed(client: TestClient, raw: bytes, field: str) -> None:
    response = post(client, raw)
    assert response.status_code == 422
    found = document(response)
    assert [error["field"] for error in found.errors] == [field]
    assert found.errors[0]["message"]
    assert field in found.detail
    assert SECRET not in response.text


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_non_finite_number_is_rejected_without_a_server_error(client: TestClient, number: bytes) -> None:
    response = post(client, b'{"x": ' + number + b"}")
    assert response.status_code in (400, 422)
    document(response)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"x": "\\ud800"}',
        b'{"x": 1, "\\ud800": 1}',
        b"[" * 100_000,
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"x": 1, "count": ' + b"9" * 400 + b"}",
        b'{"x": 1, "seen": [' + b"null," * 5000 + b"null]}",
    ],
    ids=["surrogate", "surrogate name", "deep", "5000 digits", "400 digits", "many faults"],
)
def test_adversarial_body_is_rejected_without_a_server_error(client: TestClient, raw: bytes) -> None:
    response = post(client, raw)
    assert response.status_code in (400, 422)
    assert len(document(response).errors) <= 20
    assert len(response.content) < 10_000


def test_invalid_path_parameter_is_named(client: TestClient) -> None:
    response = client.get("/items/hunter2")
    assert response.status_code == 422
    assert document(response).errors[0]["field"] == "item"
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("name", "detail"), [("usage", "no such knob. there are: a, b"), ("plain usage", "no such knob")]
)
def test_usage_error_returns_422_with_its_hint(client: TestClient, name: str, detail: str) -> None:
    response = client.get(f"/raise/{name}")
    assert response.status_code == 422
    assert document(response).detail == detail


@pytest.mark.parametrize("name", ["dependency", "overloaded"])
def test_transient_error_returns_503_with_retry_after(client: TestClient, name: str) -> None:
    response = client.get(f"/raise/{name}")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert document(response).detail == str(ERRORS[name])


@pytest.mark.parametrize("name", ["bug", "corrupt"])
def test_bug_returns_500_without_internals_and_is_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.ERROR, logger="infra.serving.problems"):
        response = client.get(f"/raise/{name}")
    assert response.status_code == 500
    document(response)
    for inside in (SECRET, "Traceback", "File ", type(ERRORS[name]).__name__):
        assert inside not in response.text
    (record,) = [record for record in caplog.records if record.name == "infra.serving.problems"]
    assert record.exc_info is not None
    assert record.exc_info[1] is ERRORS[name]


def test_unknown_paths_and_methods_return_problem_documents(client: TestClient) -> None:
    assert document(client.get("/nowhere")).status == 404
    response = client.get("/ask")
    assert document(response).status == 405
    assert response.headers["allow"] == "POST"


def test_http_exception_keeps_its_status_detail_and_headers(client: TestClient) -> None:
    response = client.get("/raise/teapot")
    assert (document(response).status, document(response).detail) == (418, "short and stout")
    assert response.headers["x-tea"] == "green"


def test_unknown_status_has_a_default_title() -> None:
    assert b'"title":"Error"' in bytes(problem(599).body)
