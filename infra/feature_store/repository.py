"""A design's Feast repository: its definitions, its online rows, and which rows of a shared store are still served.

Each build has its own repository, which is one Feast project. Builds that share an online store (Redis) therefore keep
their rows apart, and a new build never changes the rows that an older build serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.build.runner import StepContext
from infra.feature_store.feast_import import Entity, FeatureService, FeatureView, Field, FileSource, ValueType, types
from infra.feature_store.feast_store import FeastStore
from infra.feature_store.online_rows import rows_of
from infra.feature_store.presence import write_written
from infra.registry.release import CURRENT, PREVIOUS
from infra.settings import Settings

KEPT = timedelta(days=365)
"""Time to live of a row in Feast. `infra.feature_store.guarded` checks the age of a served row."""


@dataclass(frozen=True)
class StoredFeatures:
    """The Feast project of a design.

    `views` maps a feature view to its entity and to feature -> type. The feature service `service` consists of
    `online_views`, and its join key is `entity`. `lifetimes` holds the time to live of views whose rows a join needs
    for less than `KEPT`, in whole days.
    """

    project: str
    service: str
    entity: str
    views: Mapping[str, tuple[str, Mapping[str, Any]]]
    online_views: tuple[str, ...]
    lifetimes: Mapping[str, timedelta] = field(default_factory=dict)


def feast_definitions(stored: StoredFeatures, tables: Path) -> list[Any]:
    """Entities, views and the feature service; `tables` holds one Parquet file per view."""
    names = [entity for entity, _ in stored.views.values()]
    entities = {name: Entity(name=name, join_keys=[name], value_type=ValueType.INT64) for name in names}
    views = {
        view: FeatureView(
            name=view,
            entities=[entities[entity]],
            schema=[Field(name=entity, dtype=types.Int64)]
            + [Field(name=name, dtype=kind) for name, kind in features.items()],
            source=FileSource(path=str(tables / f"{view}.parquet"), timestamp_field="feature_ts"),
            ttl=stored.lifetimes.get(view, KEPT),
        )
        for view, (entity, features) in stored.views.items()
    }
    service = FeatureService(name=stored.service, features=[views[name] for name in stored.online_views])
    return [*entities.values(), *views.values(), service]


def project_of(stored: StoredFeatures, repository: Path) -> str:
    """The Feast project of one build."""
    return f"{stored.project}_{repository.stem}"


def open_repository(
    stored: StoredFeatures, repository: Path, settings: Settings, *, online_only: bool = False
) -> FeastStore:
    """The store of one build. A process that only serves sets `online_only`."""
    return FeastStore(
        repository,
        project_of(stored, repository),
        service=stored.service,
        entity=stored.entity,
        online_only=online_only,
        online=rows_of(repository, settings),
    )


def materialize_views(stored: StoredFeatures, views: Sequence[str], context: StepContext, until_ts: float) -> int:
    """Create a repository in `context.out` from the tables of the step `features`, and fill the online store.

    The online store gets the newest rows of `views` at `until_ts` (seconds since the epoch). Returns the number of
    entities of the largest view.
    """
    store = open_repository(stored, context.out, context.settings)
    store.apply(feast_definitions(stored, context.inputs["features"]))
    now, rows = datetime.fromtimestamp(until_ts, UTC), 0
    for index, view in enumerate(views):
        rows = max(rows, store.materialize(view, now))
        context.report((index + 1) / len(views), f"{view}: {rows:,} rows")
    store.close()
    write_written(context.out, project_of(stored, context.out), views)
    return rows


def forget_unserved(stored: StoredFeatures, context: StepContext) -> None:
    """Delete the rows of a shared online store that neither this build, the served one nor the one before it reads.

    An embedded store belongs to one build and needs no clean-up. A variant deletes nothing.
    """
    if not context.settings.redis or context.variant:
        return
    root = context.settings.design_root(context.design.name)
    kept = [json.loads(file.read_text()) for file in (root / CURRENT, root / PREVIOUS) if file.exists()]
    read = [
        Path(steps[name]) for steps in (context.inputs, *kept) for name in ("materialize", "naive") if name in steps
    ]
    open_repository(stored, context.inputs["materialize"], context.settings).delete_other_projects(
        f"{stored.project}_", {project_of(stored, path) for path in read}
    )
