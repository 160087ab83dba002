"""A SHA-256 manifest beside the files that it lists. A file that does not match its manifest is not loaded.

The registry stores the manifest's own hash with the model version, so that replacing files and manifest together is
detected. This module imports no heavy library, because serving uses it too.
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
    """`files` maps a file name to its SHA-256, and `meta` describes the files (feature names, dimensions …).

    `digest` is the SHA-256 of the manifest itself.
    """

    files: Mapping[str, str]
    meta: Mapping[str, Any]
    digest: str


def write_manifest(directory: Path, meta: Mapping[str, Any]) -> Manifest:
    """Hash every file in `directory`, without subdirectories, and write the manifest."""
    files = {
        path.name: file_digest(path) for path in sorted(directory.iterdir()) if path.is_file() and path.name != MANIFEST
    }
    (directory / MANIFEST).write_text(json.dumps({"files": files, "meta": dict(meta)}, indent=2, sort_keys=True))
    return Manifest(files, meta, file_digest(directory / MANIFEST))


def verify(directory: Path, *, digest: str | None = None, hint: str = "", skip: Collection[str] = ()) -> Manifest:
    """Check every file except those in `skip` against the manifest, and the manifest against `digest` if given.

    Raises `CorruptArtifact` that names the first missing, extra or different file. `hint` is the error's hint.
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
    """True if the file `name` exists and matches its SHA-256 in the manifest."""
    file = directory / name
    return name in manifest.files and file.is_file() and file_digest(file) == manifest.files[name]


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
