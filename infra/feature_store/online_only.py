"""An empty offline store for Feast, for a process that only reads online rows.

Feast imports the libraries of the offline store (DuckDB and ibis, or dask) when it opens a repository. A service needs
none of them. Without them, it uses less memory and starts faster.
"""

from __future__ import annotations

from typing import Literal

from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel


class OnlineOnlyOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Configuration of the store. Feast finds this class by the name of the store class."""

    type: Literal["infra.feature_store.online_only.OnlineOnlyOfflineStore"]


class OnlineOnlyOfflineStore(OfflineStore):  # type: ignore[misc]
    """Abstract on purpose: a service that reads offline features has a bug, and fails at once."""
