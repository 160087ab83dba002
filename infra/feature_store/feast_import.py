"""Imports Feast in less than half the time, and re-exports the classes with which a design declares its features.

Feast decorates its classes with `typeguard.typechecked`, which re-parses and recompiles each class at import. This
takes about 3 of 5.5 seconds at every start of a service. This module replaces the decorator by one that does nothing,
as typeguard itself does under `python -O`. It restores the decorator after the import, so that no other library is
affected.

Feast also imports its own feature server and user interface, which the lab does not run, with their libraries for HTTP
and authentication. This module names empty modules in their place during the import. That saves a fifth of the
remaining CPU time and 20 MB in each process. `FeatureStore.serve` and `serve_ui` therefore do not work.

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
import typeguard


def _leave_as_is(target: Any = None, **_: Any) -> Any:
    return (lambda decorated: decorated) if target is None else target


_SWITCHES = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")
_added = [name for name in _SWITCHES if name not in os.environ]
os.environ.update(dict.fromkeys(_added, tempfile.gettempdir()))
_typechecked = typeguard.typechecked
_SERVERS = ("feast.feature_server", "feast.ui_server")
_replaced = [name for name in _SERVERS if name not in sys.modules]
sys.modules.update({name: python_types.ModuleType(name) for name in _replaced})
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
