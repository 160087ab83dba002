"""CPU time per request is measured on the serving process over an open loop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra.errors import LabError
from lab.bench.processor import cpu_ms_per_request
from lab.load.open_loop import Client

BUSY_MS = 20
SERVER = f"""
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Busy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        until = time.thread_time() + {BUSY_MS} / 1000
        while time.thread_time() < until:
            pass
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{{}}")

    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 128  # the open loop opens all of its connections at once
server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def busy() -> Iterator[tuple[Client, int]]:
    """A client of a server that computes for `BUSY_MS` per request, and the server's process."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield Client(url, "/", lambda number: {"number": number}), process.pid
    finally:
        process.terminate()
        process.wait(10)


def test_cpu_time_per_request_matches_the_work_of_the_service(busy: tuple[Client, int]) -> None:
    client, pid = busy
    found = cpu_ms_per_request(client, pid, rate_per_s=10.0, seconds=3.0, seed=0)
    assert BUSY_MS <= found + 1 < 2 * BUSY_MS


def test_cpu_time_of_a_window_without_requests_raises(busy: tuple[Client, int]) -> None:
    client, pid = busy
    with pytest.raises(LabError, match="no request was sent"):
        cpu_ms_per_request(client, pid, rate_per_s=0.1, seconds=1.0, seed=0)
