"""Feast's online rows: in a SQLite file in the repository (embedded) or in Redis (composed).

This module holds every difference between the two stores: Feast's configuration, the check that the store exists, the
row count, and the clean-up after a build. Redis outlives the builds that write to it. Each build therefore writes under
its own Feast project, and deletes the rows of projects that no service reads any more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from infra.errors import FeatureStoreUnavailable, UsageError
from infra.settings import Settings

READ_TIMEOUT_S, WRITE_TIMEOUT_S, CONNECT_TIMEOUT_S = 0.5, 30.0, 0.5
"""Socket timeouts in seconds. A hung Redis blocks a reader this long; the request's own timeout is shorter."""


class OnlineRows(Protocol):
    """An online store. Methods raise the client's exceptions; `errors` lists those of a store that does not answer."""

    errors: tuple[type[Exception], ...]
    is_remote: bool
    """True if a read waits for another process."""

    def config(self, *, reads_only: bool) -> Mapping[str, Any]:
        """The `online_store` section of Feast's configuration."""
        ...

    def check(self) -> None:
        """Raise `FeatureStoreUnavailable` if the store does not exist."""
        ...

    def prepare(self) -> None: ...

    def count(self, project: str, view: str) -> int:
        """Number of entities with a row of `view`."""
        ...

    def delete_other_projects(self, family: str, keep: Collection[str]) -> int:
        """Delete the rows of all projects with the prefix `family` except `keep`. Returns the number of rows."""
        ...

    def close(self) -> None: ...


def rows_of(repository: Path, settings: Settings) -> OnlineRows:
    """The online store that the settings name. Raises `UsageError` for an unreadable or unusable Redis password."""
    if settings.redis is None:
        return SqliteRows(repository / "online.db")
    password = ""
    if settings.redis_password_file is not None:
        try:
            password = settings.redis_password_file.read_text().strip()
        except OSError as exc:
            raise UsageError(f"LAB_REDIS_PASSWORD_FILE cannot be read: {exc}") from exc
    if "," in password:
        raise UsageError("the Redis password contains a comma, which Feast's connection string does not allow")
    return RedisRows(settings.redis, password)


class SqliteRows:
    """Online rows in one SQLite file, which belongs to one build and is deleted with it."""

    errors: tuple[type[Exception], ...] = (sqlite3.DatabaseError,)
    is_remote = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def config(self, *, reads_only: bool) -> Mapping[str, Any]:
        return {"type": "sqlite", "path": str(self._path)}

    def check(self) -> None:
        if not self._path.exists():
            raise FeatureStoreUnavailable(f"there is no online store in {self._path.parent}")

    def prepare(self) -> None:
        with sqlite3.connect(self._path) as connection:
            connection.execute("PRAGMA journal_mode=wal")  # in WAL mode a writer does not block readers

    def count(self, project: str, view: str) -> int:
        with sqlite3.connect(self._path) as connection:
            found = connection.execute(f'SELECT count(DISTINCT entity_key) FROM "{project}_{view}"').fetchone()
        return int(found[0])

    def delete_other_projects(self, family: str, keep: Collection[str]) -> int:
        return 0

    def close(self) -> None:
        """Merge the write-ahead log into the database, so that the directory can be moved."""
        with sqlite3.connect(self._path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class RedisRows:
    """Online rows in Redis at `address` (host:port). Feast stores a hash per entity; its key ends with the project."""

    is_remote = True

    def __init__(self, address: str, password: str) -> None:
        import redis

        self._address, self._password = address, password
        self.errors: tuple[type[Exception], ...] = (redis.RedisError,)

    def config(self, *, reads_only: bool) -> Mapping[str, Any]:
        timeout_s = READ_TIMEOUT_S if reads_only else WRITE_TIMEOUT_S
        # `retry=null` disables retries: redis-py's three retries with backoff would block a reader for seconds
        parts = [self._address, f"socket_timeout={timeout_s}", f"socket_connect_timeout={CONNECT_TIMEOUT_S}"]
        # Feast parses values as JSON, so the password is quoted: digits alone would become a number
        parts += ["retry=null", *([f"password={json.dumps(self._password)}"] if self._password else [])]
        return {"type": "redis", "connection_string": ",".join(parts)}

    def check(self) -> None:
        """Do nothing: a Redis that is down now may answer the next request."""

    def prepare(self) -> None: ...

    def count(self, project: str, view: str) -> int:
        with self._client() as client, client.pipeline(transaction=False) as pipe:
            for key in client.scan_iter(match=b"*" + project.encode(), count=5_000):
                pipe.hexists(key, f"_ts:{view}")
            return sum(pipe.execute())

    def delete_other_projects(self, family: str, keep: Collection[str]) -> int:
        kept = tuple(name.encode() for name in keep)
        with self._client() as client, client.pipeline(transaction=False) as pipe:
            for key in client.scan_iter(match=b"*" + family.encode() + b"*", count=5_000):
                if not key.endswith(kept):
                    pipe.unlink(key)
            return sum(pipe.execute())

    def close(self) -> None: ...

    def _client(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        host, _, port = self._address.partition(":")
        return redis.Redis(
            host,
            int(port or 6379),
            password=self._password or None,
            socket_timeout=WRITE_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
