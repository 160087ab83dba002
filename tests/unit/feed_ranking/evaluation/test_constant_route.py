"""The constant route runs the checks of the feed app and returns the same response for every request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from feed_ranking.design import DESIGN
from feed_ranking.evaluation.constant_route import create_app
from infra.settings import Settings
from tests.support.asgi import Answer, chunks, drive

SIZE = 2_345
JSON = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]


def ask(home: Path, body: object) -> Answer:
    app = create_app(Settings(home=home, preset="smoke"), SIZE)
    sent = chunks(json.dumps(body).encode())
    scope = {"path": DESIGN.ask.path, "query_string": b"", "http_version": "1.1", "scheme": "http"}
    return asyncio.run(drive(app, sent, headers=JSON, **scope))


def test_constant_route_returns_a_response_of_the_given_size(tmp_path: Path) -> None:
    for user in (1, 10**9):
        answer = ask(tmp_path, {"user_id": user, "k": 20, "seed": 3})
        assert answer.status == 200
        assert int(answer.headers[b"content-length"]) == SIZE
        assert sum(len(message.get("body", b"")) for message in answer.messages) == SIZE
        assert list(answer.document) == ["slate"]


def test_constant_route_rejects_bodies_that_the_feed_rejects(tmp_path: Path) -> None:
    assert ask(tmp_path, {"user_id": 1, "k": 0}).status == 422
