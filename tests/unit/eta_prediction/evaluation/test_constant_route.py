"""The constant route runs the checks of the service's app and returns the same response for every request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from eta_prediction.design import DESIGN
from eta_prediction.evaluation.constant_route import create_app
from infra.settings import Settings
from tests.support.asgi import Answer, chunks, drive

SIZE = 2_345
JSON = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]
TRIP: dict[str, Any] = {"origin": {"node": 1}, "destination": {"lon": 10.0, "lat": 50.0}}


def ask(home: Path, body: object) -> Answer:
    app = create_app(Settings(home=home, preset="smoke"), SIZE)
    scope = {"path": DESIGN.ask.path, "query_string": b"", "http_version": "1.1", "scheme": "http"}
    return asyncio.run(drive(app, chunks(json.dumps(body).encode()), headers=JSON, **scope))


def test_constant_route_returns_a_response_of_the_given_size(tmp_path: Path) -> None:
    for driver in (3, 10**9):
        answer = ask(tmp_path, TRIP | {"driver_id": driver})
        assert answer.status == 200
        assert int(answer.headers[b"content-length"]) == SIZE
        assert sum(len(message.get("body", b"")) for message in answer.messages) == SIZE


def test_constant_route_rejects_bodies_that_the_service_rejects(tmp_path: Path) -> None:
    assert ask(tmp_path, TRIP | {"origin": {"node": 1, "lon": 10.0}}).status == 422
    assert ask(tmp_path, TRIP | {"routes": 9}).status == 422
