"""The adapter to Feast: SQLite or Redis online, DuckDB over Parquet offline.

A *repository* is a directory with Feast's registry, and with the online store where that is SQLite; a build writes it
whole, a service opens it. No exception of Feast, SQLite, Redis or DuckDB leaves this module.
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
logging.getLogger("feast").setLevel(logging.WARNING)  # it tells of every look at its registry
EPOCH = datetime(1971, 1, 1, tzinfo=UTC)


class FeastStore:
    """Both ports on one Feast repository. Safe to share between threads.

    `service` names the Feast feature service that `read_online` serves, and `entity` its join key. A process that
    only serves sets `online_only`: it then loads no offline engine and cannot join. `online` says where the online
    rows are; by default in the repository.

    A request reads by Feast's provider, view by view. `FeatureStore.get_online_features` does so too, but finds out
    again each time what the service consists of and of which types, which takes several times as long as to read.
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
        """Load what the first read would load, so that it is as fast as the others."""
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
        """One row of the feature service. An unknown entity gives an empty row, not an error."""
        return self.read_many([entity_id])[0]

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        """The same of several entities: each view is asked once."""
        with self._errors("read online"):
            if self._provider is None:
                self.open()
            keys, read, config = [self._key(one) for one in entity_ids], self._provider.online_read, self._store.config
            found = [read(config, view, keys, list(names)) for view, names in self._views]
            return [_row(of_views) for of_views in zip(*found, strict=True)]

    async def read_soon(self, entity_id: int) -> FeatureRow:
        """The same, awaited where the store is somewhere else. SQLite is in this process: to look up a key in a file is
        to compute, and is done in place."""
        if not self._online.is_remote:
            return self.read_online(entity_id)
        with self._errors("read online"):
            if self._provider is None:
                self.open()
            key, read, config = self._key(entity_id), self._provider.online_read_async, self._store.config
            return _row([(await read(config, view, [key], list(names)))[0] for view, names in self._views])

    def read_by_service(self, entity_id: int) -> Mapping[str, Any]:
        """The same row by `get_online_features`, feature -> value or None: what `read_online` is held against."""
        if self._provider is None:
            self.open()
        found = self._store.get_online_features(self._service, [{self._entity: entity_id}]).to_dict()
        return {name: values[0] for name, values in found.items() if name != self._entity}

    def _key(self, entity_id: int) -> Any:
        return EntityKey(join_keys=[self._entity], entity_values=[ValueProto(int64_val=entity_id)])

    def read_batch(
        self, features: list[str], keys: Mapping[str, npt.NDArray[np.int64]]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Feature name -> float64[n] for n entities, NaN where nothing is known; `keys` maps join keys to int64[n]."""
        with self._errors("read a batch online"):
            entities = {key: ids.tolist() for key, ids in keys.items()}
            found = self._store.get_online_features(features, entities).to_dict()
        names = [name.partition(":")[2] for name in features]
        return {name: np.array([np.nan if v is None else v for v in found[name]], np.float64) for name in names}

    def join(self, rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        """See `OfflineFeatures.join`. Values keep the dtypes of the sources; missing ones are NaN or None."""
        asked = rows.rename(columns={"event_ts": "event_timestamp"}).assign(**{ROW_ID: np.arange(len(rows))})
        with self._errors("join offline"), quietly():
            joined = self._store.get_historical_features(asked, features).to_df()
        if len(joined) != len(rows):
            raise FeatureStoreUnavailable(f"the join returned {len(joined)} rows for {len(rows)}")
        ordered = joined.sort_values(ROW_ID, kind="stable")  # DuckDB answers in any order
        ordered.index = rows.index
        renamed: pd.DataFrame = ordered.drop(columns=ROW_ID).rename(columns={"event_timestamp": "event_ts"})
        return renamed

    def materialize(self, view: str, until: datetime) -> int:
        with self._errors(f"materialise {view}"):
            with quietly():
                self._store.materialize(EPOCH, until + timedelta(microseconds=1), [view])
            return self._online.count(self._store.project, view)

    def count(self, view: str) -> int:
        """How many entities have an online row of `view`."""
        with self._errors(f"count {view}"):
            return self._online.count(self._store.project, view)

    def forget_others(self, family: str, keep: Collection[str]) -> int:
        """Delete the online rows of projects that begin with `family`, but those of `keep` and of this one."""
        with self._errors("forget old rows"):
            return self._online.forget_others(family, {*keep, self._store.project})

    def close(self) -> None:
        """Make the repository ready to be moved."""
        with self._errors("close"):
            self._online.close()

    def push(self, view: str, rows: pd.DataFrame) -> None:
        with self._errors(f"push to {view}"):
            time_column = self._store.get_feature_view(view).batch_source.timestamp_field
            self._store.write_to_online_store(view, rows.rename(columns={"event_ts": time_column}))

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn a store that does not answer into `FeatureStoreUnavailable`. Bugs pass through as they are."""
        try:
            yield
        except sqlite3.ProgrammingError:  # a DatabaseError by inheritance, a bug by nature
            raise
        except self._foreign as exc:
            raise FeatureStoreUnavailable(f"could not {what}: {exc}") from exc


@contextmanager
def quietly() -> Iterator[None]:
    """Feast prints its own progress, and ibis and DuckDB warn each other. For builds only: it is not thread-safe."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _row(found: Sequence[tuple[datetime | None, Mapping[str, Any] | None]]) -> FeatureRow:
    """One entity's rows of all views, each with the time that it speaks for. Of an entity that it does not know, one
    store says nothing, another that each value is empty."""
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
    """A protobuf value as a Python number or a numpy array."""
    if kind == "float_list_val":
        return np.array(value.float_list_val.val, np.float32)
    if kind == "int64_list_val":
        return np.array(value.int64_list_val.val, np.int64)
    number: float | int = getattr(value, kind)
    return number
