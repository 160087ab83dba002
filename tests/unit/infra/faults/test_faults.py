"""Every fault of the catalogue can be put at its port and taken away, and leaves no trace."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait

import numpy as np
import numpy.typing as npt
import pytest

from infra.errors import DependencyError, FeatureStoreUnavailable, UsageError
from infra.faults.catalogue import FEATURE_STORE, INDEX, STREAM, Fault, model_down
from infra.faults.switch import FaultSwitch, Floats, SwitchedFeatureStore, SwitchedIndex, SwitchedModel, SwitchedStream
from infra.feature_store.port import FeatureRow
from infra.stream.address import StreamAddress

DELAY_S, PATIENCE_S = 1.0, 60.0


class Store:
    def read_online(self, entity_id: int) -> FeatureRow:
        return FeatureRow({"id": entity_id}, None)

    async def read_soon(self, entity_id: int) -> FeatureRow:
        return self.read_online(entity_id)

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        return [self.read_online(one) for one in entity_ids]


class Many(SwitchedFeatureStore):
    """As several rows are read at once."""

    def read_online(self, entity_id: int) -> FeatureRow:
        return self.read_many([entity_id, 8])[0]


class Awaited(SwitchedFeatureStore):
    """As an event loop reads: the faults are the same."""

    def read_online(self, entity_id: int) -> FeatureRow:
        return asyncio.run(self.read_soon(entity_id))


@pytest.fixture
def switch() -> Iterator[FaultSwitch]:
    made = FaultSwitch((*FEATURE_STORE, *PART_FAULTS))
    yield made
    for port in made.ports:
        made.clear(port)


@pytest.fixture(params=[SwitchedFeatureStore, Awaited, Many])
def store(request: pytest.FixtureRequest, switch: FaultSwitch) -> SwitchedFeatureStore:
    made: SwitchedFeatureStore = request.param(Store(), switch)
    return made


def in_background(call: Callable[[], FeatureRow]) -> Future[FeatureRow]:
    """Run `call` in a thread that cannot keep this process alive, should nobody release it."""
    future: Future[FeatureRow] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as exc:
            future.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return future


ADDRESS = StreamAddress("127.0.0.1:9", "epoch", is_embedded=True)
PART_FAULTS = (INDEX, STREAM, model_down("ranker", "the ranker"))


class Index:
    def search(self, vector: Floats, limit: int, **options: int) -> npt.NDArray[np.int64]:
        return np.arange(limit)


@pytest.mark.parametrize("fault", PART_FAULTS, ids=lambda fault: f"{fault.port}-{fault.name}")
def test_down_fault_raises_the_error_of_its_port_until_cleared(fault: Fault, switch: FaultSwitch) -> None:
    ones = np.ones((2, 3), np.float32)
    use: Callable[[], object]
    if fault.port == "index":
        use = lambda: SwitchedIndex(Index(), switch).search(ones[0], 4).tolist()  # noqa: E731
        usual: object = [0, 1, 2, 3]
    elif fault.port == "stream":
        use = SwitchedStream(lambda: ADDRESS, switch)
        usual = ADDRESS
    else:
        use = lambda: float(SwitchedModel(lambda x: x.sum(axis=1), fault.port, switch)(ones)[0])  # noqa: E731
        usual = 3.0
    assert use() == usual
    switch.inject(fault.port, fault.name, DELAY_S)
    with pytest.raises(DependencyError) as caught:
        use()
    assert caught.value.reason == f"{fault.port}_unavailable"
    switch.clear(fault.port)
    assert use() == usual


def answers(store: SwitchedFeatureStore) -> bool:
    return store.read_online(7).values == {"id": 7}


@pytest.mark.parametrize("fault", FEATURE_STORE, ids=lambda fault: f"{fault.port}-{fault.name}")
def test_a_fault_disturbs_its_port_until_it_is_cleared(
    fault: Fault, switch: FaultSwitch, store: SwitchedFeatureStore
) -> None:
    assert answers(store)
    switch.inject(fault.port, fault.name, DELAY_S)
    injected = switch.active(fault.port)
    assert injected is not None
    assert injected.fault is fault
    call = in_background(lambda: store.read_online(7))
    wait([call], timeout=0.05)
    assert not call.done() or isinstance(call.exception(), FeatureStoreUnavailable)
    switch.clear(fault.port)
    wait([call], timeout=PATIENCE_S)
    assert call.done(), "nobody waits after the fault is cleared"
    assert switch.active(fault.port) is None
    started = time.monotonic()
    assert answers(store)
    assert time.monotonic() - started < DELAY_S / 2, "no caller waits for a fault that is over"


def test_a_slow_store_answers_rightly_but_late(switch: FaultSwitch, store: SwitchedFeatureStore) -> None:
    switch.inject("feature_store", "slow", 0.05)
    started = time.monotonic()
    assert answers(store)
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize("replacement", ["down", None])
def test_a_hang_lets_all_its_callers_go_when_it_ends(
    switch: FaultSwitch, store: SwitchedFeatureStore, replacement: str | None
) -> None:
    switch.inject("feature_store", "hang", 0)
    inside = threading.Semaphore(0)

    def call() -> FeatureRow:
        inside.release()
        return store.read_online(7)

    calls = [in_background(call) for _ in range(5)]
    assert all(inside.acquire(timeout=PATIENCE_S) for _ in calls)
    assert not wait(calls, timeout=0.02).done
    if replacement:
        switch.inject("feature_store", replacement, 0)
    else:
        switch.clear("feature_store")
    assert not wait(calls, timeout=PATIENCE_S).not_done
    for done in calls:
        assert isinstance(done.exception(), FeatureStoreUnavailable)


def test_a_second_hang_holds_callers_although_the_first_was_cleared(
    switch: FaultSwitch, store: SwitchedFeatureStore
) -> None:
    switch.inject("feature_store", "hang", 0)
    switch.clear("feature_store")
    switch.inject("feature_store", "hang", 0)
    call = in_background(lambda: store.read_online(7))
    assert not wait([call], timeout=0.02).done
    switch.clear("feature_store")
    assert wait([call], timeout=PATIENCE_S).done


def test_one_fault_at_a_time_the_last_one_counts(switch: FaultSwitch, store: SwitchedFeatureStore) -> None:
    switch.inject("feature_store", "down", 0)
    switch.inject("feature_store", "slow", 0)
    assert answers(store)


@pytest.mark.parametrize(("port", "name"), [("feature_store", "explode"), ("registry", "down"), ("", "")])
def test_an_unknown_fault_is_refused_and_the_active_one_stays(switch: FaultSwitch, port: str, name: str) -> None:
    switch.inject("feature_store", "down", 0)
    before = switch.active("feature_store")
    with pytest.raises(UsageError) as caught:
        switch.inject(port, name, 0)
    assert "feature_store hang" in caught.value.hint
    assert switch.active("feature_store") is before


def test_an_unknown_port_cannot_be_cleared_but_a_healthy_one_can(switch: FaultSwitch) -> None:
    switch.clear("feature_store")
    with pytest.raises(UsageError, match="'registry'"):
        switch.clear("registry")


def test_a_port_takes_faults_once_it_is_registered(switch: FaultSwitch) -> None:
    tower = model_down("tower", "the tower")
    with pytest.raises(UsageError):
        switch.inject("tower", "down", 0)
    switch.register([tower, FEATURE_STORE[0]])
    switch.register([tower])
    assert switch.faults == (*FEATURE_STORE, *PART_FAULTS, tower)
    switch.inject("tower", "down", 0)
    assert switch.active("tower") is not None


def test_clearing_all_lets_every_caller_go_and_leaves_every_port_healthy(
    switch: FaultSwitch, store: SwitchedFeatureStore
) -> None:
    switch.inject("feature_store", "hang", 0)
    call = in_background(lambda: store.read_online(7))
    assert not wait([call], timeout=0.02).done
    switch.clear_all()
    assert wait([call], timeout=PATIENCE_S).done
    assert answers(store)
    assert all(switch.active(port) is None for port in switch.ports)
