"""A minimal design that can be built and described. Unit tests use it instead of a real design."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.design import Ask, Budget, Design, Shift, Step, knob
from infra.evaluation.rollout_config import RolloutConfig


@dataclass(frozen=True)
class First:
    size: int = knob(3, unit="rows", low=1, high=10, trades="more rows, more time")


@dataclass(frozen=True)
class Second:
    share: float = knob(0.5, unit="", low=0.0, high=1.0, trades="nothing", per_request=True)
    label: str = "not a knob"


@dataclass(frozen=True)
class Third:
    size: int = knob(1, unit="rows", low=0, high=10, trades="nothing")


@dataclass(frozen=True)
class TinyConfig:
    a: First = field(default_factory=First)
    b: Second = field(default_factory=Second)
    c: Third = field(default_factory=Third)


@dataclass(frozen=True)
class RollingConfig(TinyConfig):
    """With the knobs of a rollout."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)


PRESETS = {"smoke": TinyConfig()}
ROLLING = {"smoke": RollingConfig()}


def tiny_design(*steps: Step, **changed: Any) -> Design:
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "summary": "nothing",
        "port": 8099,
        "container": "tiny",
        "budgets": (Budget("p99_ms", 40, "ms", "at_most", "answers in time"),),
        "config": "tests.support.tiny:PRESETS",
        "steps": steps,
        "app": "",
        "bench": (),
        "benchmarks": "",
        "evaluate": "",
        "player": "",
        "judge": "",
        "quality": "",
        "sweeps": "",
        "drills": "",
        "faults": "",
        "people": "",
        "worker": "",
        "topics": "",
        "live_log": "",
        "replay": "",
        "skew": "",
        "drift": "tests.support.drift_source:FakeSource",
        "canary": "",
        "in_process": "",
        "loadtest": "",
        "load_users": 1,
        "ask": Ask("/v1/tiny", (), "rows", ()),
        "shift": Shift("nothing", 1.0, 0.5, 2.0),
    }
    return Design(**(fields | changed))
