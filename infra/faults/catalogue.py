"""The faults that can be injected, by port and name. `designs/failure_modes.md` has a row for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

from infra.faults.feature_store import DownFeatureStore, HungFeatureStore, SlowFeatureStore
from infra.faults.parts import DownIndex, DownModel, DownStream


@dataclass(frozen=True)
class Fault:
    """`wrap(inner, delay_s, cleared)` puts the fault around a port; `cleared` is set when the fault is taken away."""

    port: str
    name: str
    title: str
    wrap: Callable[[Any, float, Event], Any]


CATALOGUE: tuple[Fault, ...] = (
    Fault(
        "feature_store",
        "down",
        "every online read is refused",
        lambda inner, _delay_s, _cleared: DownFeatureStore(inner),
    ),
    Fault(
        "feature_store",
        "slow",
        "every online read first waits delay_s",
        lambda inner, delay_s, _cleared: SlowFeatureStore(inner, delay_s),
    ),
    Fault(
        "feature_store",
        "hang",
        "no online read returns",
        lambda inner, _delay_s, cleared: HungFeatureStore(inner, cleared),
    ),
    Fault("index", "down", "the vector index cannot be searched", lambda *_: DownIndex()),
    Fault("user_tower", "down", "the user tower computes nothing", lambda *_: DownModel("user_tower")),
    Fault("light_ranker", "down", "the light ranker computes nothing", lambda *_: DownModel("light_ranker")),
    Fault("student", "down", "the student network computes nothing", lambda *_: DownModel("student")),
    Fault("teacher", "down", "the teacher network computes nothing", lambda *_: DownModel("teacher")),
    Fault("naive_model", "down", "the naive network computes nothing", lambda *_: DownModel("naive_model")),
    Fault("stream", "down", "no broker takes or gives events", lambda *_: DownStream()),
    Fault("heavy_ranker", "down", "the heavy ranker computes nothing", lambda *_: DownModel("heavy_ranker")),
)
