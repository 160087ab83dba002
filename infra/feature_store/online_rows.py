"""Where Feast keeps its online rows: in a SQLite file beside the repository (embedded), or in Redis (composed).

What differs between the two stands here and nowhere else: Feast's configuration, whether the store is there at all, how
many rows it holds, and what is done at the end of a build. Redis outlives the builds that write to it, so each build
writes under a project of its own, and forgets those that nobody serves any more.
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
"""A hung Redis holds a reader's thread for so long; the request itself has given up long before."""


class OnlineRows(Protocol):
    """Raises whatever its client raises; `errors` lists those that mean that the store does not answer."""

    errors: tuple[type[Exception], ...]
    is_remote: bool
    """whether a read waits for another process"""

    def config(self, *, reads_only: bool) -> Mapping[str, Any]:
        """Feast's `online_store`."""
        ...

    def check(self) -> None:
        """Raise `FeatureStoreUnavailable` where there is nothing to read from."""
        ...

    def prepare(self) -> None: ...

    def count(self, project: str, view: str) -> int:
        """How many entities have a row of `view`."""
        ...

    def forget_others(self, family: str, keep: Collection[str]) -> int:
        """Delete the rows of every project that begins with `family`, but those of `keep`; returns how many."""
        ...

    def close(self) -> None: ...


def rows_of(repository: Path, settings: Settings) -> OnlineRows:
    """As the settings say. Raises `UsageError` if they name a password that cannot be read."""
    if settings.redis is None:
        return SqliteRows(repository / "online.db")
    password = ""
    if settings.redis_password_file is not None:
        try:
            password = settings.redis_password_file.read_text().strip()
        except OSError as exc:
            raise UsageError(f"LAB_REDIS_PASSWORD_FILE cannot be read: {exc}") from exc
    if "," in password:
        raise UsageError("the password of Redis has a comma in it, which Feast's connection string cannot carry")
    return RedisRows(settings.redis, password)


class SqliteRows:
    """One file. It belongs to one build and goes with it."""

    errors: tuple[type[Exception], ...] = (sqlite3.DatabaseError,)
    is_remote = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def config(self, *, reads_only: bool) -> Mapping[str, Any]:
        return {"type": "sqlite", "path": str(self._path)}

    def check(self) -> None:
        if not self._path.exists():
            raise FeatureStoreUnavailable(f"no online store at {self._path.parent}")

    def prepare(self) -> None:
        with sqlite3.connect(self._path) as connection:
            connection.execute("PRAGMA journal_mode=wal")  # a writer must not block the readers of a request

    def count(self, project: str, view: str) -> int:
        with sqlite3.connect(self._path) as connection:
            found = connection.execute(f'SELECT count(DISTINCT entity_key) FROM "{project}_{view}"').fetchone()
        return int(found[0])

    def forget_others(self, family: str, keep: Collection[str]) -> int:
        return 0

    def close(self) -> None:
        """Fold the write-ahead log into the database, so that the directory can be moved."""
        with sqlite3.connect(self._path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class RedisRows:
    """`address` is host:port. Feast writes one hash per entity, under a key that ends with the project's name."""

    is_remote = True

    def __init__(self, address: str, password: str) -> None:
        import redis

        self._address, self._password = address, password
        self.errors: tuple[type[Exception], ...] = (redis.RedisError,)

    def config(self, *, reads_only: bool) -> Mapping[str, Any]:
        timeout_s = READ_TIMEOUT_S if reads_only else WRITE_TIMEOUT_S
        # `retry=null` means none: redis-py's own three retries with backoff would hold a reader for seconds
        parts = [self._address, f"socket_timeout={timeout_s}", f"socket_connect_timeout={CONNECT_TIMEOUT_S}"]
        # and quoted, since Feast reads values as JSON and would take digits for a number
        parts += ["retry=null", *([f"password={json.dumps(self._password)}"] if self._password else [])]
        return {"type": "redis", "connection_string": ",".join(parts)}

    def check(self) -> None:
        """Nothing: a Redis that is down now may answer the next request."""

    def prepare(self) -> None: ...

    def count(self, project: str, view: str) -> int:
        with self._client() as client, client.pipeline(transaction=False) as pipe:
            for key in client.scan_iter(match=b"*" + project.encode(), count=5_000):
                pipe.hexists(key, f"_ts:{view}")
            return sum(pipe.execute())

    def forget_others(self, family: str, keep: Collection[str]) -> int:
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
