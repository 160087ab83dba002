"""Every fault of the catalogue takes effect at its port when injected and leaves no trace when cleared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait

import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client import CollectorRegistry

from infra.errors import DependencyError, FeatureStoreUnavailable, UsageError
from infra.faults.catalogue import FEATURE_STORE, INDEX, STREAM, Fault, model_down
from infra.faults.metrics import FaultMetrics
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
    """Reads through `read_many`."""

    def read_online(self, entity_id: int) -> FeatureRow:
        return self.read_many([entity_id, 8])[0]


class Awaited(SwitchedFeatureStore):
    """Reads through `read_soon` in an event loop."""

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
    """Run `call` in a daemon thread, so that a hanging call does not keep the process alive."""
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
def test_fault_affects_its_port_until_it_is_cleared(
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
    assert call.done(), "no caller waits after the fault is cleared"
    assert switch.active(fault.port) is None
    times = []
    for _ in range(5):
        started = time.monotonic()
        assert answers(store)
        times.append(time.monotonic() - started)
    assert min(times) < DELAY_S / 2, "a cleared fault does not delay later calls"


def test_slow_fault_delays_correct_answers(switch: FaultSwitch, store: SwitchedFeatureStore) -> None:
    switch.inject("feature_store", "slow", 0.05)
    started = time.monotonic()
    assert answers(store)
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize("replacement", ["down", None])
def test_hang_fault_releases_all_callers_when_it_ends(
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


def test_second_hang_fault_blocks_callers_after_the_first_was_cleared(
    switch: FaultSwitch, store: SwitchedFeatureStore
) -> None:
    switch.inject("feature_store", "hang", 0)
    switch.clear("feature_store")
    switch.inject("feature_store", "hang", 0)
    call = in_background(lambda: store.read_online(7))
    assert not wait([call], timeout=0.02).done
    switch.clear("feature_store")
    assert wait([call], timeout=PATIENCE_S).done


def test_new_fault_replaces_the_active_one(switch: FaultSwitch, store: SwitchedFeatureStore) -> None:
    switch.inject("feature_store", "down", 0)
    switch.inject("feature_store", "slow", 0)
    assert answers(store)


@pytest.mark.parametrize(("port", "name"), [("feature_store", "explode"), ("registry", "down"), ("", "")])
def test_unknown_fault_is_rejected_and_the_active_one_stays(switch: FaultSwitch, port: str, name: str) -> None:
    switch.inject("feature_store", "down", 0)
    before = switch.active("feature_store")
    with pytest.raises(UsageError) as caught:
        switch.inject(port, name, 0)
    assert "feature_store hang" in caught.value.hint
    assert switch.active("feature_store") is before


def test_clear_accepts_a_healthy_port_and_rejects_an_unknown_one(switch: FaultSwitch) -> None:
    switch.clear("feature_store")
    with pytest.raises(UsageError, match="'registry'"):
        switch.clear("registry")


def test_port_accepts_faults_after_registration(switch: FaultSwitch) -> None:
    tower = model_down("tower", "the tower")
    with pytest.raises(UsageError):
        switch.inject("tower", "down", 0)
    switch.register([tower, FEATURE_STORE[0]])
    switch.register([tower])
    assert switch.faults == (*FEATURE_STORE, *PART_FAULTS, tower)
    switch.inject("tower", "down", 0)
    assert switch.active("tower") is not None


def test_clear_all_releases_every_caller_and_resets_every_port(
    switch: FaultSwitch, store: SwitchedFeatureStore
) -> None:
    switch.inject("feature_store", "hang", 0)
    call = in_background(lambda: store.read_online(7))
    assert not wait([call], timeout=0.02).done
    switch.clear_all()
    assert wait([call], timeout=PATIENCE_S).done
    assert answers(store)
    assert all(switch.active(port) is None for port in switch.ports)


def test_metric_marks_the_injected_fault() -> None:
    switch = FaultSwitch(FEATURE_STORE)
    registry = CollectorRegistry()
    registry.register(FaultMetrics(switch))
    one, other = FEATURE_STORE[:2]
    switch.inject(one.port, one.name, 0.1)
    value = registry.get_sample_value
    assert value("lab_fault_active", {"port": one.port, "fault": one.name}) == 1
    assert value("lab_fault_active", {"port": other.port, "fault": other.name}) == 0
    switch.clear(one.port)
    assert value("lab_fault_active", {"port": one.port, "fault": one.name}) == 0
