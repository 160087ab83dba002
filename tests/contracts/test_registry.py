"""The MLflow adapter meets the contract of the registry port, with SQLite and with a server on PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.errors import CorruptArtifact, RegistryUnavailable
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.registry.presence import has_model
from infra.registry.server import bring_up_to_date
from infra.settings import REPOSITORY, Settings
from tests.support.containers import POSTGRES, container, is_open, need_image, wait_for


@pytest.fixture(scope="module", params=["embedded", "composed"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        yield Settings(home=home, preset="smoke")
    else:
        need_image(POSTGRES)
        with served_by_postgres(home) as uri:
            yield Settings(home=home, preset="smoke", registry_uri=uri)


def test_migration_keeps_an_up_to_date_database(registry: MlflowRegistry, settings: Settings, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"kept", "migrated")
    uri = settings.mlflow_uri if settings.registry_uri is None else (settings.home / "database").read_text()
    bring_up_to_date(uri)
    assert registry.digest_of("migrated", version.version) == version.digest


def test_failed_migration_exits_with_an_instruction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.db").write_text("this file is not a database")
    with pytest.raises(SystemExit, match="docker compose down --volumes"):
        bring_up_to_date(f"sqlite:///{tmp_path / 'no.db'}")
    assert "cannot be migrated" in capsys.readouterr().err


@contextmanager
def served_by_postgres(home: Path) -> Iterator[str]:
    """Yield the URI of an MLflow server. It starts as in the compose file, but without a container."""
    (home / "password").write_text("a-password")
    names = [f"POSTGRES_{name}" for name in ("USER=mlflow", "DB=mlflow", "PASSWORD=a-password")]
    words = [word for name in names for word in ("--env", name)]
    with container(POSTGRES, *words, port=5432) as (name, address), socket.socket() as probe:
        ready = ("exec", name, "pg_isready", "-q", "-U", "mlflow", "-d", "mlflow", "-h", "127.0.0.1")
        wait_for(lambda: subprocess.run(["docker", *ready], check=False).returncode == 0, "PostgreSQL")
        (home / "database").write_text(f"postgresql+psycopg2://mlflow:a-password@{address}/mlflow")
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        command = [sys.executable, "-m", "infra.registry.server", "--database", f"{address}/mlflow", "--user", "mlflow"]
        command += ["--password-file", str(home / "password"), "--artifacts", str(home), "--port", port]
        with (home / "server.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True)
        try:
            wait_for(lambda: is_open(f"127.0.0.1:{port}"), (home / "server.log").read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(15)


@pytest.fixture(scope="module")
def registry(settings: Settings) -> MlflowRegistry:
    return MlflowRegistry(settings)


def register(registry: MlflowRegistry, directory: Path, content: bytes, name: str = "model") -> ModelVersion:
    directory.mkdir(exist_ok=True)
    (directory / "net.onnx").write_bytes(content)
    write_manifest(directory, {"kind": "test"})
    return registry.register(name, directory, params={"size": len(content)}, metrics={"loss": 0.5})


def test_fetch_returns_the_registered_files_unchanged(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"weights")
    fetched = registry.fetch(version, tmp_path / "fetched")
    assert (fetched / "net.onnx").read_bytes() == b"weights"


def test_versions_increase_and_an_alias_can_be_moved(registry: MlflowRegistry, tmp_path: Path) -> None:
    first = register(registry, tmp_path / "a", b"one", "counted")
    second = register(registry, tmp_path / "b", b"two", "counted")
    assert (first.version, second.version) == (1, 2)
    registry.set_alias("counted", "champion", 1)
    registry.set_alias("counted", "champion", 2)
    champion = registry.by_alias("counted", "champion")
    assert champion is not None
    assert (champion.version, champion.digest, champion.metrics) == (2, second.digest, {"loss": 0.5})


def test_newest_versions_carry_aliases_figures_and_the_verdict_of_the_gate(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    versions = [register(registry, tmp_path / str(number), str(number).encode(), "listed") for number in range(12)]
    registry.set_alias("listed", "challenger", 12)
    registry.set_alias("listed", "champion", 11)
    registry.set_verdict("listed", 12, "refused: worse " + 1000 * "x")
    first, second, third = registry.newest("listed", 3)
    assert (first.model, second.model) == (versions[11], versions[10])
    assert (first.aliases, second.aliases, third.aliases) == (("challenger",), ("champion",), ())
    assert first.gate.startswith("refused: worse")
    assert second.gate == ""
    assert 0 <= first.registered_ts - third.registered_ts < 600
    assert registry.newest("missing", 3) == []


def test_missing_alias_or_model_is_none(registry: MlflowRegistry, tmp_path: Path) -> None:
    register(registry, tmp_path / "made", b"x", "lonely")
    assert registry.by_alias("lonely", "champion") is None
    assert registry.by_alias("missing", "champion") is None


def test_alias_of_a_missing_version_is_refused_as_such(registry: MlflowRegistry, tmp_path: Path) -> None:
    """For example of a release that was copied and never registered. The registry does answer."""
    register(registry, tmp_path / "made", b"one", "known")
    with pytest.raises(RegistryUnavailable, match="has no such entry"):
        registry.set_alias("known", "champion", 7001)


def test_registry_detects_a_missing_version(registry: MlflowRegistry, settings: Settings, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"kept", "kept")
    assert registry.digest_of("kept", version.version) == version.digest
    assert registry.digest_of("kept", version.version + 1) is None
    assert registry.digest_of("missing", 1) is None
    (tmp_path / "registered.json").write_text(json.dumps({"name": "gone", "version": 1, "digest": version.digest}))
    assert has_model(tmp_path, settings) == (settings.registry_uri is None)


def test_fetch_refuses_an_artifact_that_changed_in_the_store(
    registry: MlflowRegistry, settings: Settings, tmp_path: Path
) -> None:
    version = register(registry, tmp_path / "made", b"honest weights", "tampered")
    home = settings.home  # in this test, both settings store artifacts below it
    (stored,) = [path for path in home.rglob("net.onnx") if path.read_bytes() == b"honest weights"]
    stored.write_bytes(b"honest weighty")
    with pytest.raises(CorruptArtifact):
        registry.fetch(version, tmp_path / "fetched")
    assert not list((tmp_path / "fetched").iterdir()), "the refused files are removed"


def test_fetch_replaces_a_local_copy_that_changed(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"cached", "cached")
    copy = registry.fetch(version, tmp_path / "fetched")
    (copy / "net.onnx").write_bytes(b"cachex")
    assert (registry.fetch(version, tmp_path / "fetched") / "net.onnx").read_bytes() == b"cached"


def test_unreachable_registry_raises_registry_unavailable(tmp_path: Path, free_port: int) -> None:
    settings = Settings(home=tmp_path, preset="smoke", registry_uri=f"http://127.0.0.1:{free_port}")
    with pytest.raises(RegistryUnavailable, match="did not answer"):
        MlflowRegistry(settings).by_alias("model", "champion")
