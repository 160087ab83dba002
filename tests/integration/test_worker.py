"""A worker's process before there is anything to work for."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from infra.settings import Settings
from infra.stream.worker import create_worker
from lab.designs import find_design


def test_it_says_that_it_waits_for_a_build(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    with TestClient(create_worker(find_design("feed_ranking"), settings)) as client:
        said = client.get("/healthz")
        assert (said.status_code, said.json()) == (200, {"status": "waiting for a build", "consumers": {}})
        assert client.get("/metrics").status_code == 200
