"""Open-loop load measures latency from the due time of a request, so queueing is included."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from infra.errors import LabError
from lab.load.open_loop import Client, capacity_per_s, open_loop

SERVICE_S = 0.02


class OneAtATime(BaseHTTPRequestHandler):
    """Takes 20 ms per request and serves one request at a time."""

    protocol_version = "HTTP/1.1"
    turn = threading.Lock()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.turn:
            time.sleep(SERVICE_S)
        self.send_response(200 if self.path == "/ok" else 503)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200


@pytest.fixture
def url() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), OneAtATime)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_latency_is_the_service_time_below_capacity(url: str) -> None:
    latency = open_loop(Client(url, "/ok", lambda n: {"n": n}), rate_per_s=5, seconds=2, seed=1)
    assert len(latency) == 10
    assert np.median(latency) >= SERVICE_S * 1000


def test_latency_includes_a_growing_queue_above_capacity(url: str) -> None:
    latency = open_loop(Client(url, "/ok", lambda n: {"n": n}), rate_per_s=150, seconds=0.6, seed=1)
    assert latency[-10:].mean() > 10 * SERVICE_S * 1000
    assert latency[-10:].mean() > 2 * latency[:20].mean()


def test_capacity_matches_sequential_service(url: str) -> None:
    assert capacity_per_s(Client(url, "/ok", lambda n: {"n": n}), clients=1, seconds=0.5) <= 1 / SERVICE_S


def test_open_loop_raises_for_a_failed_response(url: str) -> None:
    with pytest.raises(LabError, match="503"):
        open_loop(Client(url, "/busy", lambda n: {"n": n}), rate_per_s=20, seconds=0.2, seed=1)
