"""The settings choose the online store, its timeouts and its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import FeatureStoreUnavailable, UsageError
from infra.feature_store.online_rows import RedisRows, SqliteRows, rows_of
from infra.settings import Settings


def test_online_rows_use_sqlite_by_default(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, Settings())
    assert isinstance(rows, SqliteRows)
    assert rows.config(reads_only=True) == {"type": "sqlite", "path": str(tmp_path / "online.db")}
    with pytest.raises(FeatureStoreUnavailable):
        rows.check()


def test_redis_configuration_sets_timeouts_and_no_retries(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    settings = Settings(redis="store:6379", redis_password_file=tmp_path / "password")
    rows = rows_of(tmp_path, settings)
    assert isinstance(rows, RedisRows)
    host, *options = str(rows.config(reads_only=True)["connection_string"]).split(",")
    assert host == "store:6379"
    assert dict(option.split("=") for option in options) == {
        "socket_timeout": "0.5",
        "socket_connect_timeout": "0.5",
        "retry": "null",
        "password": '"secret"',
    }
    assert "socket_timeout=30.0" in str(rows.config(reads_only=False)["connection_string"]), (
        "writes of a build get a longer timeout"
    )


def test_feast_passes_timeouts_and_password_to_redis() -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

    config = RedisOnlineStoreConfig(**dict(RedisRows("127.0.0.1:1", "0042").config(reads_only=True)))
    client = RedisOnlineStore()._get_client(config)
    assert client.connection_pool.connection_kwargs["password"] == "0042", "digits stay text"
    made = client.connection_pool.make_connection()
    assert (made.socket_timeout, made.socket_connect_timeout) == (0.5, 0.5)
    assert made.retry.get_retries() == 0


def test_password_with_a_comma_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a,b")
    with pytest.raises(UsageError, match="comma"):
        rows_of(tmp_path, Settings(redis="store:6379", redis_password_file=tmp_path / "password"))


def test_missing_password_file_is_rejected_by_setting_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="LAB_REDIS_PASSWORD_FILE"):
        rows_of(tmp_path, Settings(redis="store:6379", redis_password_file=tmp_path / "none"))
