"""The constant route stands behind the feed's own app: same checks, same accounting, always the same answer."""

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


def test_every_valid_request_gets_an_answer_of_the_given_size(tmp_path: Path) -> None:
    for user in (1, 10**9):
        answer = ask(tmp_path, {"user_id": user, "k": 20, "seed": 3})
        assert answer.status == 200
        assert int(answer.headers[b"content-length"]) == SIZE
        assert sum(len(message.get("body", b"")) for message in answer.messages) == SIZE
        assert list(answer.document) == ["slate"]


def test_a_body_that_the_feed_refuses_is_refused_here_too(tmp_path: Path) -> None:
    assert ask(tmp_path, {"user_id": 1, "k": 0}).status == 422
