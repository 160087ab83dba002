"""The adapter to Feast: SQLite or Redis online, DuckDB over Parquet offline.

A *repository* is a directory with Feast's registry and, in the embedded setting, the SQLite online store. A build
writes the whole repository, and a service opens it. If a store does not answer, this module raises
`FeatureStoreUnavailable` instead of the exceptions of SQLite or Redis.
"""

from __future__ import annotations

import io
import logging
import sqlite3
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.errors import FeatureStoreUnavailable
from infra.feature_store.feast_import import EntityKey, FeatureStore, RepoConfig, get_provider
from infra.feature_store.feast_import import Value as ValueProto
from infra.feature_store.online_rows import OnlineRows, SqliteRows
from infra.feature_store.port import FeatureRow, Value

ROW_ID = "row_id_"
logging.getLogger("feast").setLevel(logging.WARNING)  # at INFO, Feast logs every registry read
ROWS_AT_ONCE = 2_000
"""Feast converts so many rows to protobuf before it writes them; by default it converts a whole view at once"""

EPOCH = datetime(1971, 1, 1, tzinfo=UTC)


class FeastStore:
    """Implements `OnlineFeatures` and `OfflineFeatures` on one Feast repository. Thread-safe.

    `service` names the Feast feature service that `read_online` serves, and `entity` is its join key. A process that
    only serves sets `online_only`: the store then loads no offline engine and cannot join. `online` is the store of the
    online rows; the default is a SQLite file in the repository.

    Online reads call Feast's provider once per view. `FeatureStore.get_online_features` calls it too, but resolves the
    views and types of the service again on each call, which takes several times as long as the read.
    """

    def __init__(
        self,
        repository: Path,
        project: str,
        *,
        service: str,
        entity: str,
        online_only: bool,
        online: OnlineRows | None = None,
    ) -> None:
        self._repository = repository
        self._online: OnlineRows = online or SqliteRows(repository / "online.db")
        self._foreign: tuple[type[Exception], ...] = (*self._online.errors, OSError)
        offline = "infra.feature_store.online_only.OnlineOnlyOfflineStore" if online_only else "duckdb"
        config = {
            "project": project,
            "registry": {"path": str(repository / "registry.db"), "cache_ttl_seconds": 0},
            "provider": "local",
            "online_store": dict(self._online.config(reads_only=online_only)),
            "offline_store": {"type": offline},
            "entity_key_serialization_version": 3,
            "materialization": {"pull_latest_features": True, "online_write_batch_size": ROWS_AT_ONCE},
        }
        with self._errors("open the repository"):
            self._store = FeatureStore(config=RepoConfig(**config))
        self._service_name, self._entity = service, entity
        self._service: Any = None
        self._provider: Any = None
        self._views: list[tuple[Any, list[str]]] = []

    def apply(self, definitions: Sequence[Any]) -> None:
        """Register entities, views and services, and create the online tables."""
        with self._errors("apply definitions"):
            self._store.apply(list(definitions))
            self._online.prepare()

    def open(self) -> FeastStore:
        """Load the feature service and its views, so that the first read is as fast as later ones."""
        with self._errors("load the feature service"):
            self._online.check()
            self._service = self._store.get_feature_service(self._service_name)
            self._views = [
                (self._store.get_feature_view(part.name), [field.name for field in part.features])
                for part in self._service.feature_view_projections
            ]
            self._provider = get_provider(self._store.config)
        return self

    def read_online(self, entity_id: int) -> FeatureRow:
        """Read one row of the feature service. An unknown entity gets an empty row, not an error."""
        return self.read_many([entity_id])[0]

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        """Read the rows of several entities, in their order, with one read per view."""
        with self._errors("read online"):
            if self._provider is None:
                self.open()
            keys, read, config = [self._key(one) for one in entity_ids], self._provider.online_read, self._store.config
            found = [read(config, view, keys, list(names)) for view, names in self._views]
            return [_row(of_views) for of_views in zip(*found, strict=True)]

    async def read_soon(self, entity_id: int) -> FeatureRow:
        """Read one row of the feature service; await the read if the store is remote.

        SQLite runs in this process, so its look-up is computation and runs in the event loop.
        """
        if not self._online.is_remote:
            return self.read_online(entity_id)
        with self._errors("read online"):
            if self._provider is None:
                self.open()
            key, read, config = self._key(entity_id), self._provider.online_read_async, self._store.config
            return _row([(await read(config, view, [key], list(names)))[0] for view, names in self._views])

    def read_by_service(self, entity_id: int) -> Mapping[str, Any]:
        """Read one row by `get_online_features`: feature -> value or None. Reference for `read_online`."""
        if self._provider is None:
            self.open()
        found = self._store.get_online_features(self._service, [{self._entity: entity_id}]).to_dict()
        return {name: values[0] for name, values in found.items() if name != self._entity}

    def _key(self, entity_id: int) -> Any:
        return EntityKey(join_keys=[self._entity], entity_values=[ValueProto(int64_val=entity_id)])

    def read_batch(
        self, features: list[str], keys: Mapping[str, npt.NDArray[np.int64]]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Feature name -> float64[n] for n entities, NaN for missing values. `keys` maps join keys to int64[n]."""
        with self._errors("read a batch online"):
            entities = {key: ids.tolist() for key, ids in keys.items()}
            found = self._store.get_online_features(features, entities).to_dict()
        names = [name.partition(":")[2] for name in features]
        return {name: np.array([np.nan if v is None else v for v in found[name]], np.float64) for name in names}

    def join(self, rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        """See `OfflineFeatures.join`. Values keep the dtypes of the sources; missing values are NaN or None."""
        asked = rows.rename(columns={"event_ts": "event_timestamp"}).assign(**{ROW_ID: np.arange(len(rows))})
        with self._errors("join offline"), quietly():
            joined = self._store.get_historical_features(asked, features).to_df()
        if len(joined) != len(rows):
            raise FeatureStoreUnavailable(f"the join returned {len(joined)} rows for {len(rows)}")
        ordered = joined.sort_values(ROW_ID, kind="stable")  # DuckDB returns rows in any order
        ordered.index = rows.index
        renamed: pd.DataFrame = ordered.drop(columns=ROW_ID).rename(columns={"event_timestamp": "event_ts"})
        return renamed

    def materialize(self, view: str, until: datetime) -> int:
        with self._errors(f"materialise {view}"):
            with quietly():
                self._store.materialize(EPOCH, until + timedelta(microseconds=1), [view])
            return self._online.count(self._store.project, view)

    def count(self, view: str) -> int:
        """Number of entities with an online row of `view`."""
        with self._errors(f"count {view}"):
            return self._online.count(self._store.project, view)

    def delete_other_projects(self, family: str, keep: Collection[str]) -> int:
        """Delete the online rows of all projects with the prefix `family` except `keep` and this store's project.

        Returns the number of deleted rows.
        """
        with self._errors("forget old rows"):
            return self._online.delete_other_projects(family, {*keep, self._store.project})

    def close(self) -> None:
        """Write pending changes to disk, so that the repository can be moved."""
        with self._errors("close"):
            self._online.close()

    def push(self, view: str, rows: pd.DataFrame) -> None:
        with self._errors(f"push to {view}"):
            time_column = self._store.get_feature_view(view).batch_source.timestamp_field
            self._store.write_to_online_store(view, rows.rename(columns={"event_ts": time_column}))

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Convert the errors of a store that does not answer to `FeatureStoreUnavailable`. Bugs pass unchanged."""
        try:
            yield
        except sqlite3.ProgrammingError:  # a subclass of DatabaseError, but it means a bug in our code
            raise
        except self._foreign as exc:
            raise FeatureStoreUnavailable(f"could not {what}: {exc}") from exc


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the progress output of Feast and the warnings of ibis and DuckDB. Not thread-safe, so for builds only."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _row(found: Sequence[tuple[datetime | None, Mapping[str, Any] | None]]) -> FeatureRow:
    """Merge one entity's rows of all views, each with its event time, into a `FeatureRow`.

    For an unknown entity, one store returns no row and the other returns a row of empty values.
    """
    values: dict[str, Value] = {}
    times: list[datetime] = []
    for at, features in found:
        for name, value in (features or {}).items():
            kind = value.WhichOneof("val")
            if kind is not None and at is not None:
                values[name] = _plain(value, kind)
                times.append(at)
    return FeatureRow(values, min(times, default=None), max(times, default=None))


def _plain(value: Any, kind: str) -> Value:
    """Convert a protobuf value to a Python number or a numpy array."""
    if kind == "float_list_val":
        return np.array(value.float_list_val.val, np.float32)
    if kind == "int64_list_val":
        return np.array(value.int64_list_val.val, np.int64)
    number: float | int = getattr(value, kind)
    return number
