"""What happened to one request: per stage the time, the counts, what was removed and why, what degraded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from infra.errors import DependencyError


@dataclass
class StageTrace:
    """One stage of one request. Counts are numbers of candidates; `removed` maps a reason to a count.

    Entered as a context it times itself, and notes why it degraded. Written out, since a request enters ten of them and
    `contextlib` takes three times as long.
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
    """A stage that enriches the query, before there are candidates to count."""

    counts_candidates: ClassVar[bool] = False


@dataclass
class Trace:
    """Filled by the runner while a request passes; read by metrics, `Server-Timing` and `?explain=true`."""

    stages: list[StageTrace] = field(default_factory=list)

    def stage(self, stage: str, name: str, count_in: int = 0) -> StageTrace:
        """Time one stage. The entry is kept even when the stage raises."""
        entry = StageTrace(stage, name, 0.0, count_in)
        self.stages.append(entry)
        return entry

    def query_stage(self, stage: str, name: str) -> StageTrace:
        """As `stage`, for a stage without candidates."""
        entry = QueryStageTrace(stage, name)
        self.stages.append(entry)
        return entry

    @property
    def degraded(self) -> list[str]:
        """Reasons in order of appearance, each once."""
        return list(dict.fromkeys(entry.degraded for entry in self.stages if entry.degraded))

    def stage_ms(self) -> dict[str, float]:
        """Total milliseconds per kind of stage, in the order in which the kinds first ran."""
        totals: dict[str, float] = {}
        for entry in self.stages:
            totals[entry.stage] = totals.get(entry.stage, 0.0) + entry.time_ms
        return totals

    def server_timing(self) -> str:
        """The value of a `Server-Timing` header (W3C Server Timing)."""
        return ", ".join(f"{stage};dur={ms:.2f}" for stage, ms in self.stage_ms().items())
