"""Feast's offline side left out: for a process that only reads online rows.

Feast loads the whole library behind an offline store (DuckDB and ibis, or dask) as soon as a repository is opened.
A service needs none of it; without, it is smaller and starts sooner.
"""

from __future__ import annotations

from typing import Literal

from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel


class OnlineOnlyOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Found by Feast through the name of the store class."""

    type: Literal["infra.feature_store.online_only.OnlineOnlyOfflineStore"]


class OnlineOnlyOfflineStore(OfflineStore):  # type: ignore[misc]
    """Stays abstract on purpose: a service that asks for offline features has a bug, and fails at once."""
