"""A service loads only files that match their registered hash, and keeps its release if a new one is corrupt."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from feed_ranking.items.snapshot import open_snapshot
from feed_ranking.model.artifact import load_bundle
from feed_ranking.online.app import create_app
from infra.errors import CorruptArtifact, UsageError
from infra.registry.manifest import verify, write_manifest
from infra.registry.release import Release, read_release
from infra.settings import Settings
from tests.support.releases import point_to
from tests.support.stream import embedded_for
from tests.support.waiting import until


@pytest.fixture
def copied(release: Release, tmp_path: Path) -> Release:
    """The release with copies of its files, which tests may damage."""
    model = shutil.copytree(release.model_path, tmp_path / "model")
    index = shutil.copytree(release.index_path, tmp_path / "index")
    return replace(release, model_path=str(model), index_path=str(index))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["heavy.onnx", "light.onnx", "user_tower.onnx", "post_tower.onnx", "manifest.json"])
def test_model_with_one_flipped_byte_is_refused(copied: Release, name: str) -> None:
    flip_a_byte(Path(copied.model_path) / name)
    with pytest.raises(CorruptArtifact):
        load_bundle(Path(copied.model_path), copied.model_digest)


def test_model_trained_on_other_features_is_refused(copied: Release) -> None:
    meta = dict(verify(Path(copied.model_path)).meta)
    write_manifest(Path(copied.model_path), meta | {"ranker_inputs": meta["ranker_inputs"][::-1]})
    with pytest.raises(CorruptArtifact, match="other features"):
        load_bundle(Path(copied.model_path))


@pytest.mark.parametrize("name", ["index.faiss", "embeddings.npy", "stats.npy", "item_side.npy", "post_id.npy"])
def test_index_with_one_flipped_byte_is_refused(copied: Release, name: str) -> None:
    flip_a_byte(Path(copied.index_path) / name)
    with pytest.raises(CorruptArtifact):
        open_snapshot(Path(copied.index_path), model_digest=copied.model_digest)


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("heavy.onnx", {"heavy_ranker_unavailable"}),
        ("light.onnx", {"light_ranker_unavailable"}),
        ("manifest.json", {"user_tower_unavailable", "light_ranker_unavailable", "heavy_ranker_unavailable"}),
    ],
)
def test_service_serves_without_a_damaged_model_and_names_it(
    copied: Release, tmp_path: Path, name: str, reasons: set[str]
) -> None:
    own = Settings(home=tmp_path / "home", preset="smoke")
    point_to(own, copied)
    flip_a_byte(Path(copied.model_path) / name)
    with TestClient(create_app(own)) as client:
        answer = client.post("/v1/feed", json={"user_id": 7}).json()
    assert set(answer["degraded"]) == reasons
    assert len(answer["slate"]) == 20


def test_service_serves_without_a_damaged_index_and_names_it(copied: Release, tmp_path: Path) -> None:
    own = Settings(home=tmp_path / "home", preset="smoke")
    point_to(own, copied)
    flip_a_byte(Path(copied.index_path) / "index.faiss")
    with TestClient(create_app(own)) as client:
        answer = client.post("/v1/feed", json={"user_id": 7}).json()
    assert answer["degraded"] == ["index_unavailable"]
    assert {source for item in answer["slate"] for source in item["sources"]} <= {"follow", "trending", "fresh"}


def test_service_does_not_start_with_a_damaged_catalogue(copied: Release, tmp_path: Path) -> None:
    own = Settings(home=tmp_path / "home", preset="smoke")
    point_to(own, copied)
    flip_a_byte(Path(copied.index_path) / "embeddings.npy")
    with pytest.raises(CorruptArtifact, match=r"embeddings\.npy"), TestClient(create_app(own)):
        pass


def test_published_post_survives_a_release_swap(release: Release, copied: Release, tmp_path: Path) -> None:
    own = Settings(home=tmp_path / "home", preset="smoke")
    point_to(own, release)
    with embedded_for(own), TestClient(create_app(own)) as client:
        new = {"posts": [{"post_id": 10**9, "creator_id": 3, "topic": 2}]}
        until(lambda: client.get("/readyz").json()["stream"] == "answers", "the release")
        assert client.post("/v1/posts", json=new).status_code == 202
        until(lambda: client.get("/v1/posts/1000000000").status_code == 200, "the release")
        point_to(own, replace(copied, model_version=1003))
        until(
            lambda: client.post("/v1/feed", json={"user_id": 7}).json()["model_version"].endswith("/1003"),
            "the release",
        )
        assert client.get("/v1/posts/1000000000").status_code == 200


def test_corrupt_release_is_refused_and_a_valid_release_takes_over(
    release: Release, copied: Release, tmp_path: Path
) -> None:
    own = Settings(home=tmp_path / "home", preset="smoke")
    point_to(own, release)
    app = create_app(own)
    with TestClient(app) as client:
        body = {"user_id": 7, "k": 5}
        flip_a_byte(Path(copied.model_path) / "heavy.onnx")
        point_to(own, replace(copied, model_version=1001))
        until(lambda: "heavy.onnx" in client.get("/readyz").json()["refused_release"], "the release")
        assert (
            client.post("/v1/feed", json=body).json()["model_version"] == f"feed_ranking-smoke/{release.model_version}"
        )
        assert 'lab_release_swaps_total{result="refused"} 1.0' in client.get("/metrics").text

        flip_a_byte(Path(copied.model_path) / "heavy.onnx")  # repaired
        point_to(own, replace(copied, model_version=1002))
        until(
            lambda: client.post("/v1/feed", json=body).json()["model_version"] == "feed_ranking-smoke/1002",
            "the release",
        )
        assert client.get("/readyz").json()["refused_release"] == ""
        assert 'lab_model_info{name="feed_ranking-smoke",version="1002"} 1.0' in client.get("/metrics").text


def test_service_starts_degraded_without_its_feature_store(copied: Release, tmp_path: Path) -> None:
    own = Settings(home=tmp_path / "home", preset="smoke")
    features = tmp_path / "features"
    features.mkdir()
    point_to(own, replace(copied, features_path=str(features)))
    with TestClient(create_app(own)) as client:
        answer = client.post("/v1/feed", json={"user_id": 7, "k": 5}).json()
    assert len(answer["slate"]) == 5
    assert answer["degraded"] == ["feature_store_unavailable"]


def test_missing_build_error_names_the_build_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_release(tmp_path / "feed_ranking")
    assert caught.value.hint == "run: lab build feed_ranking"


def test_service_responds_503_until_a_build_ends_and_then_serves(
    settings: Settings, release: Release, tmp_path: Path
) -> None:
    waiting = settings.model_copy(update={"home": tmp_path, "wait_for_release": True})
    root = waiting.design_root("feed_ranking")
    with TestClient(create_app(waiting)) as client:
        answer = client.post("/v1/feed", json={"user_id": 7})
        assert answer.status_code == client.get("/readyz").status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "feed_ranking has not been built" in answer.json()["detail"]
        root.mkdir(parents=True)
        (root / "current.json").write_text("{")
        until(lambda: "is invalid" in client.get("/readyz").json()["detail"], "the release")
        point_to(waiting, release)
        until(lambda: client.get("/readyz").status_code == 200, "the release")
        assert client.post("/v1/feed", json={"user_id": 7}).json()["slate"]
