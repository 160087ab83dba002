"""Checks whether the online store still holds a build's rows. The step runner calls it before each build."""

from __future__ import annotations

from pathlib import Path

from infra.settings import Settings


def has_users(output: Path, settings: Settings) -> bool:
    """Whether the online store still holds the users that step `materialize` wrote."""
    if settings.redis is None:
        return True  # the rows are a file of the output itself
    from feed_ranking.features.views import (  # takes seconds; a build that skips all steps must avoid it
        ONLINE_VIEWS,
        open_store,
    )

    store = open_store(output, settings, online_only=True)
    return all(store.count(view) > 0 for view in ONLINE_VIEWS)
