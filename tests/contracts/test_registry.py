"""The model registry's port, asked of MLflow. Embedded: SQLite and a directory of artifacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import CorruptArtifact, RegistryUnavailable
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.settings import Settings


@pytest.fixture(scope="module", params=["embedded"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    return MlflowRegistry(Settings(home=tmp_path_factory.mktemp(request.param), preset="smoke"))


def register(registry: MlflowRegistry, directory: Path, content: bytes, name: str = "model") -> ModelVersion:
    directory.mkdir(exist_ok=True)
    (directory / "net.onnx").write_bytes(content)
    write_manifest(directory, {"kind": "test"})
    return registry.register(name, directory, params={"size": len(content)}, metrics={"loss": 0.5})


def test_what_is_registered_can_be_fetched_unchanged(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"weights")
    fetched = registry.fetch(version, tmp_path / "fetched")
    assert (fetched / "net.onnx").read_bytes() == b"weights"


def test_versions_count_up_and_an_alias_points_to_one(registry: MlflowRegistry, tmp_path: Path) -> None:
    first = register(registry, tmp_path / "a", b"one", "counted")
    second = register(registry, tmp_path / "b", b"two", "counted")
    assert (first.version, second.version) == (1, 2)
    registry.set_alias("counted", "champion", 1)
    registry.set_alias("counted", "champion", 2)
    champion = registry.by_alias("counted", "champion")
    assert champion is not None
    assert (champion.version, champion.digest, champion.metrics) == (2, second.digest, {"loss": 0.5})


def test_an_alias_or_model_that_does_not_exist_is_none(registry: MlflowRegistry, tmp_path: Path) -> None:
    register(registry, tmp_path / "made", b"x", "lonely")
    assert registry.by_alias("lonely", "champion") is None
    assert registry.by_alias("nobody", "champion") is None


def test_an_artifact_changed_in_the_store_is_refused(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"honest weights", "tampered")
    (stored,) = [path for path in registry._artifacts.rglob("net.onnx") if path.read_bytes() == b"honest weights"]
    stored.write_bytes(b"honest weighty")
    with pytest.raises(CorruptArtifact):
        registry.fetch(version, tmp_path / "fetched")
    assert not list((tmp_path / "fetched").iterdir()), "nothing is left of what was refused"


def test_a_copy_changed_on_disk_is_fetched_anew(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "made", b"cached", "cached")
    copy = registry.fetch(version, tmp_path / "fetched")
    (copy / "net.onnx").write_bytes(b"cachex")
    assert (registry.fetch(version, tmp_path / "fetched") / "net.onnx").read_bytes() == b"cached"


def test_a_registry_that_is_down_is_noticed_in_seconds(tmp_path: Path, free_port: int) -> None:
    settings = Settings(home=tmp_path, preset="smoke", registry_uri=f"http://127.0.0.1:{free_port}")
    with pytest.raises(RegistryUnavailable):
        MlflowRegistry(settings).by_alias("model", "champion")
