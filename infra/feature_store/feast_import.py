"""Imports Feast in half the time, and passes on the classes that a design's `features.py` declares with.

Feast decorates its classes with `typeguard.typechecked`, which re-parses and recompiles each of them at import:
about 3 of 5.5 seconds here, paid at every start of a service. Under `python -O` typeguard does the same as we
do here, nothing. The decorator is put back at once, so that no other library is touched.

Importing Feast also switches the Prometheus client of the whole process to its multi-process mode, in which every
counter is a file, in a directory that it makes and leaves behind when it is killed. So the client is loaded before,
a directory is named that is there anyway and stays empty of such files, and the switch is put back after. And it has
the deprecations of every library shown, which a user can do nothing about; so that is taken back too.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from typing import Any

import prometheus_client  # noqa: F401  (before Feast, see above)
import typeguard


def _leave_as_is(target: Any = None, **_: Any) -> Any:
    return (lambda decorated: decorated) if target is None else target


_SWITCHES = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")
_added = [name for name in _SWITCHES if name not in os.environ]
os.environ.update(dict.fromkeys(_added, tempfile.gettempdir()))
_typechecked = typeguard.typechecked
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
