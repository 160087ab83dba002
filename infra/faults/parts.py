"""Faults of parts inside a service: a network or an index that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.errors import IndexUnavailable, ModelUnavailable, StreamUnavailable


@dataclass(frozen=True)
class DownModel:
    """Fault: the network `name` refuses to compute."""

    name: str

    def __call__(self, inputs: Any) -> Any:
        raise ModelUnavailable(self.name, f"injected fault: {self.name} is down")


@dataclass(frozen=True)
class DownIndex:
    """Fault: no search returns anything."""

    def search(self, *_: Any, **__: Any) -> Any:
        raise IndexUnavailable("injected fault: the index is down")


class DownStream:
    """Fault: no broker is to be found."""

    def __call__(self) -> Any:
        raise StreamUnavailable("injected fault: the event stream is down")
