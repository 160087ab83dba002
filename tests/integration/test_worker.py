"""A worker starts before the first build and reports that it waits."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from infra.settings import Settings
from infra.stream.worker import create_worker
from lab.designs import find_design


def test_worker_without_a_build_reports_that_it_waits(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    with TestClient(create_worker(find_design("feed_ranking"), settings)) as client:
        response = client.get("/healthz")
        assert (response.status_code, response.json()) == (200, {"status": "waiting for a build", "consumers": {}})
        assert client.get("/metrics").status_code == 200
