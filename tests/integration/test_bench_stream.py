"""The parts of `lab bench stream` that need no service run with few messages on the embedded broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.stream.address import StreamAddress
from lab.bench.broker import own_broker
from lab.bench.stream.kills import KillBench, Losses
from lab.bench.stream.speed import SpeedBench

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamAddress]:
    with own_broker(Settings(home=tmp_path_factory.mktemp("broker"), preset="smoke")) as found:
        yield found


def test_consumer_throughput_is_within_a_factor_of_ten_of_a_bare_loop(address: StreamAddress) -> None:
    bench = SpeedBench(address, messages=3_000, turns=1)
    bench.fill()
    assert 0.1 < bench.round() < 10


def test_killed_reader_neither_loses_nor_duplicates_events(address: StreamAddress, tmp_path: Path) -> None:
    bench = KillBench(address, tmp_path, number=1, events=2_500, kills=1)
    assert bench.run() == Losses(lost=0, doubled=0)
