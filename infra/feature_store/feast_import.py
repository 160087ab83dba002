"""Imports Feast in less than half the time, and re-exports the classes with which a design declares its features.

Feast decorates its classes with `typeguard.typechecked`, which re-parses and recompiles each class at import. This
takes about 3 of 5.5 seconds at every start of a service. This module replaces the decorator by one that does nothing,
as typeguard itself does under `python -O`. It restores the decorator after the import, so that no other library is
affected.

Feast also imports parts that the lab does not use: its own feature server and user interface, with their libraries for
HTTP and authentication, its registry in an SQL database, with SQLAlchemy, and FastAPI for the numbers of HTTP statuses.
During the import, this module names modules in their place that have only what Feast's modules take from them. That
saves a third of the remaining CPU time, 33 MB in each process, and in processes without FastAPI 11 MB more.
`FeatureStore.serve`, `serve_ui` and an SQL registry therefore do not work.

Importing Feast also switches the Prometheus client of the whole process to its multi-process mode. In that mode every
counter is a file in a directory that Feast creates and that remains if the process is killed. This module therefore
imports the client first, names an existing directory, which stays empty of such files, and removes the variables
afterwards. Feast also enables the deprecation warnings of every library. Users cannot act on them, so this module
removes that filter.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import types as python_types
import warnings
from typing import Any

import prometheus_client  # noqa: F401  (must precede Feast, see the module docstring)
import starlette.concurrency
import starlette.status
import typeguard

from infra.errors import LabError


def _leave_as_is(target: Any = None, **_: Any) -> Any:
    return (lambda decorated: decorated) if target is None else target


_SWITCHES = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")
_added = [name for name in _SWITCHES if name not in os.environ]
os.environ.update(dict.fromkeys(_added, tempfile.gettempdir()))
_typechecked = typeguard.typechecked


def _no_sql_registry(*_: Any, **__: Any) -> Any:
    raise LabError("Feast's registry in an SQL database is not available here", hint="set registry_type: file")


_INSTEAD: dict[str, dict[str, Any]] = {
    "feast.feature_server": {},
    "feast.ui_server": {},
    "feast.infra.registry.sql": {"SqlRegistry": _no_sql_registry},
    "fastapi": {"status": starlette.status},
    "fastapi.concurrency": {"run_in_threadpool": starlette.concurrency.run_in_threadpool},
}
_replaced = [name for name in _INSTEAD if name not in sys.modules]
for _name in _replaced:
    sys.modules[_name] = python_types.ModuleType(_name)
    vars(sys.modules[_name]).update(_INSTEAD[_name])
typeguard.typechecked = _leave_as_is
try:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast import types as types
    from feast.infra.provider import get_provider
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
finally:
    typeguard.typechecked = _typechecked
    for _name in _added:
        os.environ.pop(_name, None)
    for _name in _replaced:
        del sys.modules[_name]
with contextlib.suppress(ValueError):
    warnings.filters.remove(("once", None, DeprecationWarning, None, 0))  # type: ignore[attr-defined]

__all__ = [
    "Entity",
    "EntityKey",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "RepoConfig",
    "Value",
    "ValueType",
    "get_provider",
    "types",
]
