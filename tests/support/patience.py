"""Deadlines that only a hang reaches, for tests of what a service does and not of how fast it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIMITS = {"deadline_ms": 60_000.0, "feature_timeout_ms": 30_000.0}


@contextmanager
def patient(serve: Any) -> Iterator[None]:
    """Services of this `ServeConfig` give a request, and its read from the feature store, as much time as it needs."""
    usual = {name: getattr(serve, name) for name in LIMITS}
    _set(serve, LIMITS)
    try:
        yield
    finally:
        _set(serve, usual)


def _set(serve: Any, limits: dict[str, float]) -> None:
    for name, value in limits.items():
        object.__setattr__(serve, name, value)  # frozen; an app finds its preset by name, not through an argument
