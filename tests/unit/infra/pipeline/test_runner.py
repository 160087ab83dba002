"""The pipeline runner degrades on dependency failures, lets bugs through, and records every stage in the trace."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from infra.errors import DependencyError, FeatureStoreUnavailable, RegistryUnavailable
from infra.pipeline.candidates import Candidates, Ids, Keep
from infra.pipeline.runner import CandidatePipeline
from infra.pipeline.stages import StageNames


@dataclass(frozen=True)
class Query:
    notes: tuple[str, ...] = ()
    cause: DependencyError | None = None


@dataclass
class Profile:
    error: Exception | None = None
    name: str = "profile"

    def hydrate(self, query: Query) -> Query:
        if self.error:
            raise self.error
        return Query((*query.notes, self.name))

    def fallback(self, query: Query, cause: DependencyError) -> Query:
        return Query((*query.notes, "default"), cause)


@dataclass
class Source:
    name: str
    ids: tuple[int, ...] = ()
    error: Exception | None = None
    asked: list[Query] = field(default_factory=list)

    def fetch(self, query: Query) -> Ids:
        self.asked.append(query)
        if self.error:
            raise self.error
        return np.array(self.ids, np.int64)


class OnlyEven:
    name = "odd"

    def keep(self, query: Query, candidates: Candidates) -> Keep:
        return candidates.ids % 2 == 0


class Size:
    name = "size"

    def hydrate(self, query: Query, candidates: Candidates) -> Candidates:
        if query.cause is not None and query.cause.reason == "dependency_unavailable":
            raise query.cause
        return candidates.with_columns(size=candidates.ids.astype(np.float32))

    def fallback(self, query: Query, candidates: Candidates, cause: DependencyError) -> Candidates:
        return candidates.with_columns(size=-candidates.ids.astype(np.float32))


@dataclass
class BySize:
    error: Exception | None = None
    name: str = "by_size"

    def score(self, query: Query, candidates: Candidates) -> Candidates:
        if self.error:
            raise self.error
        return candidates.with_columns(score=candidates.columns["size"])

    def fallback(self, query: Query, candidates: Candidates, cause: DependencyError) -> Candidates:
        return candidates.with_columns(score=-candidates.columns["size"])


@dataclass
class Largest:
    limit: int
    name: str = "too small"

    def keep(self, query: Query, candidates: Candidates) -> Keep:
        return candidates.columns["score"] >= np.sort(candidates.columns["score"])[-self.limit]


class BestTwo:
    name = "best_two"

    def select(self, query: Query, candidates: Candidates) -> tuple[Candidates, dict[str, int]]:
        best = np.argsort(-candidates.columns["score"], kind="stable")[:2]
        return candidates.take(best), {"not among the best": len(candidates) - len(best)}


def pipeline(*sources: Source, profiles: tuple[Profile, ...] = (Profile(),), **stages: Any) -> CandidatePipeline[Query]:
    return CandidatePipeline(
        names=StageNames("query", "retrieve", "filter", "hydrate", "rerank"),
        query_hydrators=profiles,
        sources=sources,
        filters=stages.get("filters", [OnlyEven()]),
        hydrators=[Size()],
        scorers=stages.get("scorers", {"rank": BySize()}),
        selector=BestTwo(),
        cuts=stages.get("cuts", {}),
        late=stages.get("late", {}),
    )


FOLLOWED, POPULAR = (1, 2, 4), (4, 6, 8)


def test_pipeline_runs_all_stages_in_order() -> None:
    outcome = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR)).run(Query())
    assert outcome.slate.ids.tolist() == [8, 6]
    assert outcome.slate.sources.tolist() == [0b10, 0b10]
    assert outcome.query.notes == ("profile",)
    assert outcome.degraded == []


def test_sources_receive_the_hydrated_query() -> None:
    source = Source("followed", FOLLOWED)
    pipeline(source, profiles=(Profile(name="first"), Profile(name="second"))).run(Query())
    assert [query.notes for query in source.asked] == [("first", "second")]


def test_trace_uses_the_stage_names_of_the_design() -> None:
    names = StageNames("rider", "route", "closed roads", "edges", "fastest")
    trace = replace(pipeline(Source("followed", FOLLOWED)), names=names).run(Query()).trace
    assert list(trace.stage_ms()) == ["rider", "route", "closed roads", "edges", "rank", "fastest"]
    assert [entry.counts_candidates for entry in trace.stages] == [False, True, True, True, True, True]


def test_failing_source_is_skipped_and_its_bit_stays_unused() -> None:
    broken = Source("followed", error=RegistryUnavailable("gone"))
    outcome = pipeline(broken, Source("popular", POPULAR)).run(Query())
    assert outcome.slate.ids.tolist() == [8, 6]
    assert outcome.slate.sources.tolist() == [0b10, 0b10]
    assert outcome.degraded == ["registry_unavailable"]


def test_degraded_reason_is_listed_once_for_several_sources() -> None:
    sources = [Source(f"source {i}", error=RegistryUnavailable("gone")) for i in range(3)]
    profile = Profile(FeatureStoreUnavailable("down"))
    outcome = pipeline(*sources, profiles=(profile,)).run(Query())
    assert outcome.degraded == ["feature_store_unavailable", "registry_unavailable"]
    assert len(outcome.slate) == 0


def test_fallback_of_a_query_hydrator_receives_the_cause() -> None:
    cause = FeatureStoreUnavailable("down")
    outcome = pipeline(Source("popular", POPULAR), profiles=(Profile(cause), Profile(name="next"))).run(Query())
    assert outcome.query.notes == ("default", "next")
    assert outcome.trace.stages[0].detail == "down"
    alone = pipeline(Source("popular", POPULAR), profiles=(Profile(cause),)).run(Query())
    assert alone.query.cause is cause


@pytest.mark.parametrize("where", ["source", "profile"])
def test_bug_in_a_source_or_query_hydrator_passes_through(where: str) -> None:
    bug = ValueError("a bug")
    profiles = (Profile(bug),) if where == "profile" else (Profile(),)
    sources = (Source("broken", error=bug),) if where == "source" else ()
    with pytest.raises(ValueError, match="a bug"):
        pipeline(*sources, profiles=profiles).run(Query())


def test_dependency_failure_of_a_filter_passes_through() -> None:
    class Unreachable:
        name = "blocked"

        def keep(self, query: Query, candidates: Candidates) -> Keep:
            raise FeatureStoreUnavailable("down")

    with pytest.raises(FeatureStoreUnavailable):
        pipeline(Source("popular", POPULAR), filters=[Unreachable()]).run(Query())


def test_trace_has_counts_and_removals_of_every_stage() -> None:
    trace = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR)).run(Query()).trace
    rows = [(s.stage, s.name, s.count_in, s.count_out, dict(s.removed)) for s in trace.stages]
    assert rows == [
        ("query", "profile", 0, 0, {}),
        ("retrieve", "followed", 0, 3, {}),
        ("retrieve", "popular", 0, 3, {}),
        ("filter", "odd", 5, 4, {"odd": 1}),
        ("hydrate", "size", 4, 4, {}),
        ("rank", "by_size", 4, 4, {}),
        ("rerank", "best_two", 4, 2, {"not among the best": 2}),
    ]


def test_stage_ms_sums_the_stages_of_one_kind() -> None:
    trace = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR)).run(Query()).trace
    for entry, ms in zip(trace.stages, (1, 2, 4, 8, 16, 32, 64), strict=True):
        assert entry.time_ms > 0
        entry.time_ms = ms
    assert trace.stage_ms() == {"query": 1, "retrieve": 6, "filter": 8, "hydrate": 16, "rank": 32, "rerank": 64}


def test_server_timing_has_one_duration_per_stage_kind() -> None:
    trace = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR)).run(Query()).trace
    header = trace.server_timing()
    assert re.fullmatch(r"[a-z]+;dur=\d+\.\d\d(, [a-z]+;dur=\d+\.\d\d)*", header)
    assert [part.split(";")[0] for part in header.split(", ")] == list(trace.stage_ms())


def test_trace_keeps_and_times_a_failed_stage() -> None:
    trace = pipeline(Source("followed", error=RegistryUnavailable("gone"))).run(Query()).trace
    entry = next(stage for stage in trace.stages if stage.name == "followed")
    assert (entry.degraded, entry.detail, entry.count_out) == ("registry_unavailable", "gone", 0)
    assert entry.time_ms > 0


def test_each_scorer_receives_the_candidates_left_by_the_previous_cut() -> None:
    stages: dict[str, Any] = {"scorers": {"cut": BySize(name="light"), "rank": BySize(name="heavy")}}
    stages["cuts"] = {"cut": Largest(3)}
    outcome = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR), **stages).run(Query())
    rows = [(s.stage, s.name, s.count_in, s.count_out, dict(s.removed)) for s in outcome.trace.stages[4:7]]
    assert rows[1:] == [("cut", "light", 4, 3, {"too small": 1}), ("rank", "heavy", 3, 3, {})]
    assert outcome.pool.ids.tolist() == [2, 4, 6, 8]


def test_late_hydrator_receives_the_candidates_left_by_the_cut_and_comes_before_its_stage() -> None:
    class Name(Size):
        name = "name"

    stages: dict[str, Any] = {"scorers": {"cut": BySize(name="light"), "rank": BySize(name="heavy")}}
    stages |= {"cuts": {"cut": Largest(3)}, "late": {"rank": [Name()]}}
    outcome = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR), **stages).run(Query())
    rows = [(stage.stage, stage.name, stage.count_in, stage.count_out) for stage in outcome.trace.stages[4:8]]
    assert rows == [
        ("hydrate", "size", 4, 4),
        ("cut", "light", 4, 3),
        ("hydrate", "name", 3, 3),
        ("rank", "heavy", 3, 3),
    ]


def test_failing_late_hydrator_uses_its_fallback() -> None:
    class Gone(Size):
        name = "gone"

        def hydrate(self, query: Query, candidates: Candidates) -> Candidates:
            raise RegistryUnavailable("gone")

    outcome = pipeline(Source("popular", POPULAR), late={"rank": [Gone()]}).run(Query())
    assert outcome.degraded == ["registry_unavailable"]
    assert outcome.slate.ids.tolist() == [4, 6], "the fallback prefers small ids"


def test_failing_scorer_uses_its_fallback_and_the_cut_still_runs() -> None:
    stages: dict[str, Any] = {"scorers": {"cut": BySize(error=RegistryUnavailable("gone")), "rank": BySize()}}
    stages["cuts"] = {"cut": Largest(3)}
    outcome = pipeline(Source("followed", FOLLOWED), Source("popular", POPULAR), **stages).run(Query())
    assert outcome.degraded == ["registry_unavailable"]
    assert outcome.slate.ids.tolist() == [6, 4], "the fallback prefers small ids, so 8 was cut"


def test_failing_hydrator_uses_its_fallback_and_is_reported() -> None:
    profile = Profile(FeatureStoreUnavailable("down"))
    query = Query(cause=DependencyError("columns"))
    assert pipeline(Source("popular", POPULAR), profiles=(profile,)).run(query).degraded == [
        "feature_store_unavailable"
    ]
    outcome = pipeline(Source("popular", POPULAR), profiles=()).run(query)
    assert outcome.degraded == ["dependency_unavailable"]
    assert outcome.slate.ids.tolist() == [4, 6]


@pytest.mark.parametrize("bug", [ValueError("a bug"), KeyError("a bug")])
def test_bug_in_a_scorer_passes_through(bug: Exception) -> None:
    with pytest.raises(type(bug), match="a bug"):
        pipeline(Source("popular", POPULAR), scorers={"rank": BySize(error=bug)}).run(Query())
