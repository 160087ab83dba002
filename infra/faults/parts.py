"""Faults of a network, a vector index or the event stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.errors import IndexUnavailable, ModelUnavailable, StreamUnavailable


@dataclass(frozen=True)
class DownModel:
    """Fault: every call of the network `name` fails."""

    name: str

    def __call__(self, inputs: Any) -> Any:
        raise ModelUnavailable(self.name, f"injected fault: {self.name} is down")


@dataclass(frozen=True)
class DownIndex:
    """Fault: every search of the vector index fails."""

    def search(self, *_: Any, **__: Any) -> Any:
        raise IndexUnavailable("injected fault: the index is down")


class DownStream:
    """Fault: the look-up of the broker's address fails."""

    def __call__(self) -> Any:
        raise StreamUnavailable("injected fault: the event stream is down")
