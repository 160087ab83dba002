"""A worker has two consumers with their own groups, topics and flush intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.errors import UsageError
from infra.live.clock import SharedClock
from infra.registry.release import CURRENT, Release
from infra.settings import Settings
from infra.stream.consumer import DeadLetter
from infra.stream.consumer_set import FLUSH_S, log_and_features, world_clock
from infra.stream.event import Codec
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer
from infra.stream.sink import ParquetSink, Table
from infra.stream.worker import WorkerContext
from tests.support.tiny import tiny_design


class Nothing:
    def apply(self, batch: Any) -> None: ...

    def resume(self, epoch: str) -> dict[tuple[str, int], int]:
        return {}

    def known(self) -> tuple[str, ...]:
        return ()

    def tick(self) -> None: ...


def nowhere() -> Any:
    raise AssertionError("an idle consumer must not need a broker")


def test_sink_and_features_use_separate_consumer_groups(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry, ("a", "b", "dead"))
    producer = EventProducer(nowhere, ["dead"], metrics)
    context = WorkerContext(tiny_design(), Settings(home=tmp_path), None, registry, metrics, producer, nowhere)
    codec, features, clock = Codec.of(DeadLetter), Nothing(), SharedClock(tmp_path / "clock.json", 1_000.0)
    table = Table("log", lambda events: events, "event_id")
    sink, fresh = log_and_features(context, tmp_path, clock, {"a": (codec, table)}, {"b": codec}, features, "dead")
    clock.close()
    assert (sink.group, fresh.group) == ("tiny.sink", "tiny.features")
    assert (list(sink.codecs), list(fresh.codecs)) == (["a"], ["b"])
    assert isinstance(sink.effect, ParquetSink)
    assert fresh.effect is features
    assert (sink.limits.linger_s, fresh.limits.linger_s) == (FLUSH_S, 0.0)
    assert sink.dead_letters == fresh.dead_letters == (producer, "dead")


def test_world_clock_starts_at_the_later_of_release_and_log_and_needs_a_release(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        world_clock(tmp_path, tmp_path / "live", lambda _: 0.0)
    Release("tiny", "tiny-smoke", 1, "digest", "models", "items", "features", 1_000_000.0).write(tmp_path)
    (tmp_path / CURRENT).write_text(json.dumps({"release": str(tmp_path)}))
    for live, end in (("one", 0.0), ("other", 2_000_000.0)):
        clock = world_clock(tmp_path, tmp_path / live, lambda _, end=end: end)  # type: ignore[misc]
        clock.close()
        assert clock.now() == pytest.approx(max(1_000_000.0, end), abs=5)
