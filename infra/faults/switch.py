"""Injects faults at ports while a service runs, and clears them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.errors import UsageError
from infra.faults.catalogue import Fault
from infra.feature_store.port import FeatureRow, OnlineFeatures
from infra.stream.address import StreamAddress

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Injected:
    """An active fault. Setting `cleared` releases the calls that it blocks."""

    fault: Fault
    delay_s: float
    cleared: threading.Event = field(default_factory=threading.Event)

    def around(self, inner: Any) -> Any:
        return self.fault.wrap(inner, self.delay_s, self.cleared)


class FaultSwitch:
    """The active faults, at most one per port. Only registered faults can be injected."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._active: dict[str, Injected] = {}
        self.faults: tuple[Fault, ...] = tuple(faults)

    def register(self, faults: Iterable[Fault]) -> None:
        """Add `faults` to the registered faults. Duplicates are ignored."""
        self.faults = tuple(dict.fromkeys((*self.faults, *faults)))

    @property
    def ports(self) -> tuple[str, ...]:
        return tuple(sorted({fault.port for fault in self.faults}))

    def active(self, port: str) -> Injected | None:
        return self._active.get(port)

    def inject(self, port: str, name: str, delay_s: float) -> None:
        """Activate a fault. Raises `UsageError` if the fault is not registered."""
        for fault in self.faults:
            if (fault.port, fault.name) == (port, name):
                break
        else:
            known = ", ".join(f"{fault.port} {fault.name}" for fault in self.faults)
            raise UsageError(f"there is no fault {name!r} for port {port!r}", hint=f"choose one of: {known}")
        self._replace(port, Injected(fault, delay_s))

    def clear(self, port: str) -> None:
        """Clear the fault at `port`, if any. Raises `UsageError` for an unknown port."""
        if port not in self.ports:
            raise UsageError(f"there is no port {port!r}", hint=f"choose one of: {', '.join(self.ports)}")
        self._replace(port, None)

    def clear_all(self) -> None:
        """Clear all faults and release the calls that they block, so that the process can exit."""
        for port in self.ports:
            self._replace(port, None)

    def _replace(self, port: str, new: Injected | None) -> None:
        with self._lock:
            old = self._active.pop(port, None)
            if new is not None:
                self._active[port] = new
        if old is not None:
            old.cleared.set()


class SwitchedFeatureStore:
    """The feature store's port, wrapped with the active fault."""

    def __init__(self, inner: OnlineFeatures, switch: FaultSwitch) -> None:
        self._inner, self._switch = inner, switch

    def read_online(self, entity_id: int) -> FeatureRow:
        return self._store().read_online(entity_id)

    async def read_soon(self, entity_id: int) -> FeatureRow:
        return await self._store().read_soon(entity_id)

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        return self._store().read_many(entity_ids)

    def _store(self) -> OnlineFeatures:
        injected = self._switch.active("feature_store")
        store: OnlineFeatures = self._inner if injected is None else injected.around(self._inner)
        return store


class SwitchedModel:
    """A network's port, wrapped with the active fault."""

    def __init__(self, inner: Callable[[Floats], Floats], port: str, switch: FaultSwitch) -> None:
        self._inner, self._port, self._switch = inner, port, switch

    def __call__(self, inputs: Floats) -> Floats:
        injected = self._switch.active(self._port)
        model: Callable[[Floats], Floats] = self._inner if injected is None else injected.around(self._inner)
        return model(inputs)


class SwitchedIndex:
    """A vector index's port, wrapped with the active fault."""

    def __init__(self, inner: Any, switch: FaultSwitch) -> None:
        self._inner, self._switch = inner, switch

    def search(self, vector: Floats, limit: int, **options: int) -> npt.NDArray[np.int64]:
        injected = self._switch.active("index")
        index = self._inner if injected is None else injected.around(self._inner)
        rows: npt.NDArray[np.int64] = index.search(vector, limit, **options)
        return rows


class SwitchedStream:
    """The look-up of the broker's address, wrapped with the active fault."""

    def __init__(self, inner: Callable[[], StreamAddress], switch: FaultSwitch) -> None:
        self._inner, self._switch = inner, switch

    def __call__(self) -> StreamAddress:
        injected = self._switch.active("stream")
        find: Callable[[], StreamAddress] = self._inner if injected is None else injected.around(self._inner)
        return find()
