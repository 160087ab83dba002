"""The adapter to Feast: SQLite online, DuckDB over Parquet offline.

A *repository* is a directory with Feast's registry and the online store; a build writes it whole, a service
opens it. No exception of Feast, SQLite or DuckDB leaves this module.
"""

from __future__ import annotations

import io
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.errors import FeatureStoreUnavailable
from infra.feature_store.feast_import import FeatureStore, RepoConfig
from infra.feature_store.port import FeatureRow, Value

ROW_ID = "row_id_"
EPOCH = datetime(1971, 1, 1, tzinfo=UTC)


class FeastStore:
    """Both ports on one Feast repository. Safe to share between threads.

    `service` names the Feast feature service that `read_online` serves, and `entity` its join key. A process that
    only serves sets `online_only`: it then loads no offline engine and cannot join.
    """

    def __init__(self, repository: Path, project: str, *, service: str, entity: str, online_only: bool) -> None:
        self._repository = repository
        offline = "infra.feature_store.online_only.OnlineOnlyOfflineStore" if online_only else "duckdb"
        config = {
            "project": project,
            "registry": {"path": str(repository / "registry.db"), "cache_ttl_seconds": 0},
            "provider": "local",
            "online_store": {"type": "sqlite", "path": str(repository / "online.db")},
            "offline_store": {"type": offline},
            "entity_key_serialization_version": 3,
        }
        with feast_errors("open the repository"):
            self._store = FeatureStore(config=RepoConfig(**config))
        self._service_name, self._entity = service, entity
        self._service: Any = None

    def apply(self, definitions: Sequence[Any]) -> None:
        """Register entities, views and services, and create the online tables."""
        with feast_errors("apply definitions"):
            self._store.apply(list(definitions))
            with sqlite3.connect(self._repository / "online.db") as connection:
                connection.execute("PRAGMA journal_mode=wal")  # a writer must not block the readers of a request

    def open(self) -> FeastStore:
        """Load what the first read would load, so that it is as fast as the others."""
        with feast_errors("load the feature service"):
            if not (self._repository / "online.db").exists():
                raise FeatureStoreUnavailable(f"no online store at {self._repository}")
            self._service = self._store.get_feature_service(self._service_name)
        return self

    def read_online(self, entity_id: int) -> FeatureRow:
        """One row of the feature service. An unknown entity gives an empty row, not an error."""
        with feast_errors("read online"):
            if self._service is None:
                self.open()
            response = self._store.get_online_features(self._service, [{self._entity: entity_id}]).proto
            values: dict[str, Value] = {}
            times: list[datetime] = []
            for name, result in zip(response.metadata.feature_names.val, response.results, strict=True):
                kind = result.values[0].WhichOneof("val")
                if name == self._entity or kind is None:
                    continue
                values[name] = _plain(result.values[0], kind)
                seconds = result.event_timestamps[0].seconds
                times.append(datetime.fromtimestamp(seconds, UTC))
            return FeatureRow(values, min(times, default=None))

    def read_batch(
        self, features: list[str], keys: Mapping[str, npt.NDArray[np.int64]]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Feature name -> float64[n] for n entities, NaN where nothing is known; `keys` maps join keys to int64[n]."""
        with feast_errors("read a batch online"):
            entities = {key: ids.tolist() for key, ids in keys.items()}
            found = self._store.get_online_features(features, entities).to_dict()
        names = [name.partition(":")[2] for name in features]
        return {name: np.array([np.nan if v is None else v for v in found[name]], np.float64) for name in names}

    def join(self, rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        """See `OfflineFeatures.join`. Values keep the dtypes of the sources; missing ones are NaN or None."""
        asked = rows.rename(columns={"event_ts": "event_timestamp"}).assign(**{ROW_ID: np.arange(len(rows))})
        with feast_errors("join offline"), quietly():
            joined = self._store.get_historical_features(asked, features).to_df()
        if len(joined) != len(rows):
            raise FeatureStoreUnavailable(f"the join returned {len(joined)} rows for {len(rows)}")
        ordered = joined.sort_values(ROW_ID, kind="stable")  # DuckDB answers in any order
        ordered.index = rows.index
        renamed: pd.DataFrame = ordered.drop(columns=ROW_ID).rename(columns={"event_timestamp": "event_ts"})
        return renamed

    def materialize(self, view: str, until: datetime) -> int:
        with feast_errors(f"materialise {view}"):
            feature_view = self._store.get_feature_view(view)
            with quietly():
                self._store.materialize(EPOCH, until + timedelta(microseconds=1), [view])
            table = f"{self._store.project}_{feature_view.name}"
            with sqlite3.connect(self._repository / "online.db") as connection:
                count = connection.execute(f'SELECT count(DISTINCT entity_key) FROM "{table}"').fetchone()
            return int(count[0])

    def close(self) -> None:
        """Fold the write-ahead log into the database, so that the directory can be moved."""
        with feast_errors("close"), sqlite3.connect(self._repository / "online.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def push(self, view: str, rows: pd.DataFrame) -> None:
        with feast_errors(f"push to {view}"):
            time_column = self._store.get_feature_view(view).batch_source.timestamp_field
            self._store.write_to_online_store(view, rows.rename(columns={"event_ts": time_column}))


@contextmanager
def feast_errors(what: str) -> Iterator[None]:
    """Turn a store that does not answer into `FeatureStoreUnavailable`. Bugs pass through as they are."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a DatabaseError by inheritance, a bug by nature
        raise
    except (sqlite3.DatabaseError, ConnectionError, TimeoutError, OSError) as exc:
        raise FeatureStoreUnavailable(f"could not {what}: {exc}") from exc


@contextmanager
def quietly() -> Iterator[None]:
    """Feast prints its own progress, and ibis and DuckDB warn each other. For builds only: it is not thread-safe."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _plain(value: Any, kind: str) -> Value:
    """A protobuf value as a Python number or a numpy array."""
    if kind == "float_list_val":
        return np.array(value.float_list_val.val, np.float32)
    if kind == "int64_list_val":
        return np.array(value.int64_list_val.val, np.int64)
    number: float | int = getattr(value, kind)
    return number
