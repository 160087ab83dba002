"""An artifact that does not match its manifest to the byte is never loaded."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import CorruptArtifact
from infra.registry.manifest import MANIFEST, Manifest, verify, write_manifest

META = {"topics": 4, "names": ["a", "b"]}


def artifact(directory: Path) -> Manifest:
    (directory / "net.onnx").write_bytes(bytes(range(256)))
    (directory / "index.bin").write_bytes(b"index")
    (directory / "empty").touch()
    return write_manifest(directory, META)


def test_verify_accepts_a_written_artifact_and_returns_its_metadata(tmp_path: Path) -> None:
    written = artifact(tmp_path)
    assert set(written.files) == {"net.onnx", "index.bin", "empty"}
    assert verify(tmp_path, digest=written.digest) == written
    assert verify(tmp_path).meta == META


def test_write_manifest_is_idempotent(tmp_path: Path) -> None:
    assert artifact(tmp_path) == write_manifest(tmp_path, META)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_verify_detects_any_changed_byte(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        digest = artifact(directory).digest
        path = directory / data.draw(st.sampled_from(["net.onnx", "index.bin", MANIFEST]))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with pytest.raises(CorruptArtifact):
            verify(directory, digest=digest)


@pytest.mark.parametrize("name", ["net.onnx", "empty"])
def test_verify_names_a_missing_file(tmp_path: Path, name: str) -> None:
    artifact(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CorruptArtifact, match=f"{name} is missing"):
        verify(tmp_path)


def test_verify_detects_a_truncated_or_longer_file(tmp_path: Path) -> None:
    artifact(tmp_path)
    for content in (b"", b"inde", b"index\n"):
        (tmp_path / "index.bin").write_bytes(content)
        with pytest.raises(CorruptArtifact, match=r"index\.bin"):
            verify(tmp_path)


def test_verify_rejects_a_file_outside_the_manifest(tmp_path: Path) -> None:
    artifact(tmp_path)
    (tmp_path / "extra.onnx").write_bytes(b"slipped in")
    with pytest.raises(CorruptArtifact, match=r"extra\.onnx"):
        verify(tmp_path)


def test_digest_detects_a_replaced_file_with_a_new_manifest(tmp_path: Path) -> None:
    digest = artifact(tmp_path).digest
    (tmp_path / "net.onnx").write_bytes(b"other weights")
    write_manifest(tmp_path, META)
    verify(tmp_path)
    with pytest.raises(CorruptArtifact, match="not the manifest that was registered"):
        verify(tmp_path, digest=digest)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"[]",
        b'{"files": {}}',
        json.dumps({"files": [], "meta": {}}).encode(),
        json.dumps({"files": None, "meta": {}}).encode(),
    ],
)
def test_invalid_manifest_raises_corrupt_artifact(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(CorruptArtifact):
        verify(tmp_path)


def test_missing_manifest_raises_corrupt_artifact(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        verify(tmp_path / "nowhere")
