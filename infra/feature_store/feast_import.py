"""Imports Feast in half the time, and passes on the classes that a design's `features.py` declares with.

Feast decorates its classes with `typeguard.typechecked`, which re-parses and recompiles each of them at import:
about 3 of 5.5 seconds here, paid at every start of a service. Under `python -O` typeguard does the same as we
do here, nothing. The decorator is put back at once, so that no other library is touched.

Importing Feast also switches the Prometheus client of the whole process to its multi-process mode, in which every
counter is a file. So the client is loaded before, and the switch is put back after.
"""

from __future__ import annotations

import os
from typing import Any

import prometheus_client  # noqa: F401  (before Feast, see above)
import typeguard


def _leave_as_is(target: Any = None, **_: Any) -> Any:
    return (lambda decorated: decorated) if target is None else target


_environment_before = set(os.environ)
_typechecked = typeguard.typechecked
typeguard.typechecked = _leave_as_is
try:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast import types as types
finally:
    typeguard.typechecked = _typechecked
    for _name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        if _name not in _environment_before:
            os.environ.pop(_name, None)

__all__ = [
    "Entity",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "RepoConfig",
    "ValueType",
    "types",
]
