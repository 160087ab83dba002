"""Faults of the feature store. Each class wraps the port and imitates one failure of a real store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from infra.errors import FeatureStoreUnavailable
from infra.feature_store.port import FeatureRow, OnlineFeatures

LOOK_S = 0.02
"""polling interval of `HungFeatureStore.read_soon` in seconds"""


@dataclass(frozen=True)
class DownFeatureStore:
    """Fault: every online read fails immediately."""

    inner: OnlineFeatures

    def read_online(self, entity_id: int) -> FeatureRow:
        raise FeatureStoreUnavailable("injected fault: the feature store is down")

    async def read_soon(self, entity_id: int) -> FeatureRow:
        return self.read_online(entity_id)

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        return [self.read_online(one) for one in entity_ids]


@dataclass(frozen=True)
class SlowFeatureStore:
    """Fault: every online read first waits `delay_s`."""

    inner: OnlineFeatures
    delay_s: float

    def read_online(self, entity_id: int) -> FeatureRow:
        time.sleep(self.delay_s)
        return self.inner.read_online(entity_id)

    async def read_soon(self, entity_id: int) -> FeatureRow:
        await asyncio.sleep(self.delay_s)
        return await self.inner.read_soon(entity_id)

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        time.sleep(self.delay_s)
        return self.inner.read_many(entity_ids)


@dataclass(frozen=True)
class HungFeatureStore:
    """Fault: online reads block until `released` is set, then fail."""

    inner: OnlineFeatures
    released: threading.Event

    def read_online(self, entity_id: int) -> FeatureRow:
        self.released.wait()
        raise FeatureStoreUnavailable("injected fault: the feature store hung")

    async def read_soon(self, entity_id: int) -> FeatureRow:
        while not self.released.is_set():  # polled, because a thread outside the event loop sets it
            await asyncio.sleep(LOOK_S)
        return self.read_online(entity_id)

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        return [self.read_online(one) for one in entity_ids]
