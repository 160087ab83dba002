"""Copies a release as another model version, and begins its rollout: for benchmarks and tests of a rollout.

The copy has the same networks under another digest, so that both models give equal answers.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from infra.registry.manifest import verify, write_manifest
from infra.registry.release import Release
from infra.registry.rollout import Rollout, read_rollout, write_rollout


def copied_release(release: Release, folder: Path, version: int) -> Release:
    """A copy of `release` in `folder`. The snapshot names the copied model as its own."""
    model = Path(shutil.copytree(release.model_path, folder / "model"))
    digest = write_manifest(model, dict(verify(model).meta) | {"copied": version}).digest
    index = Path(shutil.copytree(release.index_path, folder / "index"))
    write_manifest(index, dict(verify(index).meta) | {"model_digest": digest})
    return replace(release, model_version=version, model_digest=digest, model_path=str(model), index_path=str(index))


def begin_copied_rollout(root: Path, release: Release, folder: Path, *, before: int, share: float) -> Rollout:
    """Make `release` the challenger of the design with the folder `root`, as the end of a retraining does. `share` is
    that of requests in the shadow."""
    step = folder / "release"
    step.mkdir(parents=True, exist_ok=True)
    release.write(step)
    now = time.time()
    while True:
        read = read_rollout(root)
        begun = Rollout(
            stage="shadow",
            share=share,
            version=release.model_version,
            digest=release.model_digest,
            release=str(step),
            paths={"release": str(step)},
            before=before,
            began=now,
            since=now,
            rejected=read.rejected,
        )
        if (written := write_rollout(root, read, begun)) is not None:
            return written
