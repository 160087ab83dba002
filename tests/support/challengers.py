"""Makes a challenger of a feed's release: the same networks under another digest, and the start of its rollout."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from infra.registry.manifest import verify, write_manifest
from infra.registry.release import Release
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.settings import Settings


def challenger_of(release: Release, folder: Path, version: int) -> Release:
    """A copy of `release` in `folder` as another model version."""
    model = Path(shutil.copytree(release.model_path, folder / "model"))
    digest = write_manifest(model, dict(verify(model).meta) | {"copied": version}).digest
    index = Path(shutil.copytree(release.index_path, folder / "index"))
    write_manifest(index, dict(verify(index).meta) | {"model_digest": digest})
    return replace(release, model_version=version, model_digest=digest, model_path=str(model), index_path=str(index))


def begin_rollout(settings: Settings, release: Release, folder: Path, *, before: int) -> Rollout:
    """Make `release` the challenger, as the end of a retraining does."""
    step = folder / "release"
    step.mkdir(parents=True)
    release.write(step)
    root, now = settings.design_root(release.design), time.time()
    begun = Rollout(
        stage="shadow",
        version=release.model_version,
        digest=release.model_digest,
        release=str(step),
        paths={"release": str(step)},
        before=before,
        began=now,
        since=now,
        rejected=read_rollout(root).rejected,
    )
    written = write_rollout(root, read_rollout(root), begun)
    assert written is not None
    return written
