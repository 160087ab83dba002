"""The trace of one request: time, candidate counts, removals by reason and degradation of each stage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from infra.errors import DependencyError


@dataclass
class StageTrace:
    """One stage of one request. Counts are numbers of candidates; `removed` maps a reason to a count.

    As a context manager it measures its own duration and records the reason for a degradation. It implements the
    context protocol itself because a request enters ten stages and `contextlib` takes three times as long.
    """

    counts_candidates: ClassVar[bool] = True

    stage: str
    name: str
    time_ms: float = 0.0
    count_in: int = 0
    count_out: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)
    degraded: str = ""
    detail: str = ""

    def __enter__(self) -> StageTrace:
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        self.time_ms = (time.perf_counter() - self._started) * 1000
        if isinstance(exc, DependencyError):
            self.degraded, self.detail = exc.reason, str(exc)


@dataclass
class QueryStageTrace(StageTrace):
    """A stage that runs before candidates exist, such as a query hydrator."""

    counts_candidates: ClassVar[bool] = False


@dataclass
class Trace:
    """The stages of one request. The runner fills it; metrics, `Server-Timing` and `?explain=true` read it."""

    stages: list[StageTrace] = field(default_factory=list)

    def stage(self, stage: str, name: str, count_in: int = 0) -> StageTrace:
        """Time one stage. The trace keeps the entry even if the stage raises."""
        entry = StageTrace(stage, name, 0.0, count_in)
        self.stages.append(entry)
        return entry

    def query_stage(self, stage: str, name: str) -> StageTrace:
        """Time one stage that has no candidates."""
        entry = QueryStageTrace(stage, name)
        self.stages.append(entry)
        return entry

    @property
    def degraded(self) -> list[str]:
        """The reasons for degradation in order of appearance, without duplicates."""
        return list(dict.fromkeys(entry.degraded for entry in self.stages if entry.degraded))

    def stage_ms(self) -> dict[str, float]:
        """Return the total milliseconds per stage name, in the order in which the stages first ran."""
        totals: dict[str, float] = {}
        for entry in self.stages:
            totals[entry.stage] = totals.get(entry.stage, 0.0) + entry.time_ms
        return totals

    def server_timing(self) -> str:
        """Return the value of a `Server-Timing` header (W3C Server Timing)."""
        return ", ".join(f"{stage};dur={ms:.2f}" for stage, ms in self.stage_ms().items())
