"""Checks whether the online store still holds the rows that a build wrote.

The runner calls `has_rows` before a build. An embedded store is part of the step's output, but a shared store may have
lost its rows. The check opens no Feast repository, so a build that skips every step does not import Feast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from infra.errors import FeatureStoreUnavailable
from infra.feature_store.online_rows import OnlineRows, rows_of
from infra.settings import Settings

WRITTEN = "online.json"


def write_written(output: Path, project: str, views: Sequence[str]) -> None:
    """Record in `output` the Feast project and the views that have online rows."""
    (output / WRITTEN).write_text(json.dumps({"project": project, "views": list(views)}))


def has_rows(output: Path, settings: Settings, rows: OnlineRows | None = None) -> bool:
    """True if every view that the step wrote still has online rows. `rows` defaults to the store of the settings.

    Raises `FeatureStoreUnavailable` if the store does not answer.
    """
    if settings.redis is None:
        return True  # the output itself contains the rows
    rows, written = rows or rows_of(output, settings), json.loads((output / WRITTEN).read_text())
    try:
        return all(rows.count(written["project"], view) > 0 for view in written["views"])
    except rows.errors as exc:
        raise FeatureStoreUnavailable(f"could not count the online rows: {exc}") from exc
