"""The benchmark's closed-loop client sends valid requests, counts responses, and refuses errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.errors import LabError
from infra.evaluation.speed.closed_loop import answer_of, latencies_ms, raw_request, throughput
from infra.serving.middleware.hosts import LOCAL

PATH = "/v1/eta"


class Echo(BaseHTTPRequestHandler):
    """Answers with the body of the request; status 500 for a body without a number."""

    protocol_version = "HTTP/1.1"
    seen: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        number = json.loads(body).get("number")
        self.send_response(500 if number is None or self.path != PATH else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        type(self).seen.append(number)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Echo.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_raw_request_has_an_allowed_host_and_the_length_of_its_body() -> None:
    head, _, body = raw_request(PATH, {"user_id": 7, "slots": 3}).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ") for line in lines)
    assert first == f"POST {PATH} HTTP/1.1"
    assert fields["host"] in LOCAL
    assert int(fields["content-length"]) == len(body)
    assert json.loads(body) == {"user_id": 7, "slots": 3}


def test_every_body_is_sent_once_and_counted(url: str) -> None:
    assert throughput(url, PATH, [{"number": number} for number in range(50)], seconds=30.0) > 0
    assert sorted(Echo.seen) == list(range(50))
    assert len(latencies_ms(url, PATH, [{"number": number} for number in range(5)])) == 5
    assert json.loads(answer_of(url, PATH, {"number": 3})) == {"number": 3}


def test_other_statuses_than_200_are_errors(url: str) -> None:
    for ask in (throughput, latencies_ms):
        with pytest.raises(LabError, match="500"):
            ask(url, PATH, [{"wrong": 1}])
    with pytest.raises(LabError, match="500"):
        answer_of(url, PATH, {"wrong": 1})
