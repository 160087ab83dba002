"""What does not match its manifest to the byte is never loaded."""

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


def test_what_was_written_is_accepted_and_keeps_its_meaning(tmp_path: Path) -> None:
    written = artifact(tmp_path)
    assert set(written.files) == {"net.onnx", "index.bin", "empty"}
    assert verify(tmp_path, digest=written.digest) == written
    assert verify(tmp_path).meta == META


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    assert artifact(tmp_path) == write_manifest(tmp_path, META)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_flipped_byte_of_any_file_is_found(data: st.DataObject) -> None:
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
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    artifact(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CorruptArtifact, match=f"{name} is missing"):
        verify(tmp_path)


def test_a_file_cut_short_or_grown_is_found(tmp_path: Path) -> None:
    artifact(tmp_path)
    for content in (b"", b"inde", b"index\n"):
        (tmp_path / "index.bin").write_bytes(content)
        with pytest.raises(CorruptArtifact, match=r"index\.bin"):
            verify(tmp_path)


def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    artifact(tmp_path)
    (tmp_path / "extra.onnx").write_bytes(b"slipped in")
    with pytest.raises(CorruptArtifact, match=r"extra\.onnx"):
        verify(tmp_path)


def test_files_and_manifest_exchanged_together_are_found_by_the_digest(tmp_path: Path) -> None:
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
def test_a_manifest_that_makes_no_sense_is_a_corrupt_artifact(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(CorruptArtifact):
        verify(tmp_path)


def test_no_manifest_at_all_is_a_corrupt_artifact(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        verify(tmp_path / "nowhere")
