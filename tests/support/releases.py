"""Makes a release the current one, as the last step of a build does."""

from __future__ import annotations

import json

from infra.files import write_atomically
from infra.registry.release import CURRENT, Release
from infra.settings import Settings


def point_to(settings: Settings, release: Release) -> None:
    """Make `release` the current one of its design."""
    root = settings.design_root(release.design)
    step = root / f"release-{release.model_version}-{abs(hash(release.model_path))}"
    step.mkdir(parents=True, exist_ok=True)
    release.write(step)
    write_atomically(root / CURRENT, json.dumps({"release": str(step)}))
