"""Imports Feast in half the time, and passes on the classes that a design's `features.py` declares with.

Feast decorates its classes with `typeguard.typechecked`, which re-parses and recompiles each of them at import:
about 3 of 5.5 seconds here, paid at every start of a service. Under `python -O` typeguard does the same as we
do here, nothing. The decorator is put back at once, so that no other library is touched.
"""

from __future__ import annotations

from typing import Any

import typeguard


def _leave_as_is(target: Any = None, **_: Any) -> Any:
    return (lambda decorated: decorated) if target is None else target


_typechecked = typeguard.typechecked
typeguard.typechecked = _leave_as_is
try:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast import types as types
finally:
    typeguard.typechecked = _typechecked

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
