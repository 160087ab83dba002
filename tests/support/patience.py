"""Long deadlines for tests that check the results of a service and not its speed. Only a hang exceeds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIMITS = {"deadline_ms": 60_000.0, "feature_timeout_ms": 30_000.0}


@contextmanager
def patient(serve: Any) -> Iterator[None]:
    """Set long deadlines for requests and feature store reads in this `ServeConfig` for the length of the block."""
    usual = {name: getattr(serve, name) for name in LIMITS}
    _set(serve, LIMITS)
    try:
        yield
    finally:
        _set(serve, usual)


def _set(serve: Any, limits: dict[str, float]) -> None:
    for name, value in limits.items():
        object.__setattr__(serve, name, value)  # frozen, but an app takes its preset by name, not as an argument
