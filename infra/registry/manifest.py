"""A SHA-256 manifest beside the files it speaks for. What does not match it is not loaded.

The manifest's own hash is stored with the model version in the registry, so that files and manifest cannot be
exchanged together. Imports nothing heavy: serving uses it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import CorruptArtifact

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """`files` maps a file's name to its SHA-256; `meta` says what the files mean (feature names, dimensions …)."""

    files: Mapping[str, str]
    meta: Mapping[str, Any]
    digest: str


def write_manifest(directory: Path, meta: Mapping[str, Any]) -> Manifest:
    """Hash every file in `directory` (not below it) and write the manifest."""
    files = {
        path.name: file_digest(path) for path in sorted(directory.iterdir()) if path.is_file() and path.name != MANIFEST
    }
    (directory / MANIFEST).write_text(json.dumps({"files": files, "meta": dict(meta)}, indent=2, sort_keys=True))
    return Manifest(files, meta, file_digest(directory / MANIFEST))


def verify(directory: Path, *, digest: str | None = None, hint: str = "", skip: Collection[str] = ()) -> Manifest:
    """Check every file but those in `skip` against the manifest, and the manifest against `digest` if that is given.

    Raises `CorruptArtifact` naming the first file that is missing, extra or different; `hint` says how to mend it.
    """
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_text())
        files, meta = content["files"], content["meta"]
        if not isinstance(files, dict) or not isinstance(meta, dict):
            raise TypeError("files and meta must be objects")
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CorruptArtifact(f"{path} cannot be read: {exc}", hint=hint) from exc
    found = file_digest(path)
    if digest is not None and found != digest:
        raise CorruptArtifact(f"{path} is not the manifest that was registered", hint=hint)
    present = {file.name for file in directory.iterdir() if file.is_file()}
    if extra := sorted(present - set(files) - {MANIFEST}):
        raise CorruptArtifact(f"{directory / extra[0]} is not in the manifest", hint=hint)
    for name, expected in files.items():
        if name in skip:
            continue
        file = directory / name
        if not file.is_file():
            raise CorruptArtifact(f"{file} is missing", hint=hint)
        if file_digest(file) != expected:
            raise CorruptArtifact(f"{file} does not match its SHA-256", hint=hint)
    return Manifest(files, meta, found)


def is_whole(directory: Path, manifest: Manifest, name: str) -> bool:
    """Whether one file is there and has the bytes that the manifest says."""
    file = directory / name
    return name in manifest.files and file.is_file() and file_digest(file) == manifest.files[name]


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
