"""The registry state comes from an HTTP health check with a timeout, and the watch never blocks startup."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.registry.health import ANSWERS, DOWN, LOCAL, NOT_ASKED, RegistryWatch, registry_state
from infra.serving.probe import is_healthy
from infra.settings import Settings
from tests.support.waiting import until


class Handler(BaseHTTPRequestHandler):
    over = threading.Event()
    """set at the end of this module's tests; until then, slow paths do not answer"""

    def do_GET(self) -> None:
        if self.path == "/slow/health":
            self.over.wait()
        self.send_response(200 if self.path.endswith("/health") and "sick" not in self.path else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    Handler.over.set()
    server.shutdown()


def test_registry_without_an_address_is_embedded() -> None:
    assert registry_state(Settings()) == LOCAL


def test_registry_state_is_answering_for_a_healthy_server(url: str) -> None:
    assert registry_state(Settings(registry_uri=url)) == ANSWERS
    assert registry_state(Settings(registry_uri=url + "/")) == ANSWERS


@pytest.mark.parametrize("path", ["/sick", "/slow"])
def test_registry_state_is_down_for_an_unhealthy_or_slow_server(url: str, path: str) -> None:
    assert registry_state(Settings(registry_uri=url + path)) == DOWN, "without an answer"


def test_registry_state_is_down_without_a_server(free_port: int) -> None:
    assert registry_state(Settings(registry_uri=f"http://127.0.0.1:{free_port}")) == DOWN
    assert registry_state(Settings(registry_uri="nonsense")) == DOWN


def test_health_watch_returns_the_last_state_immediately(url: str) -> None:
    embedded = RegistryWatch(Settings())
    embedded.start()
    assert embedded.state == LOCAL
    watch = RegistryWatch(Settings(registry_uri=url + "/slow"))
    watch.start()
    assert watch.state == NOT_ASKED, "the start does not wait for the registry"
    until(lambda: watch.state != NOT_ASKED, "the first answer")
    assert watch.state == DOWN
    watch.close()


def test_container_is_healthy_if_its_url_returns_200(url: str, free_port: int) -> None:
    assert is_healthy(f"{url}/health")
    assert not is_healthy(f"{url}/sick/health")
    assert not is_healthy(f"http://127.0.0.1:{free_port}/")
