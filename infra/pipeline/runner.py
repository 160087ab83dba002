"""Runs a request through its stages in order, records each stage in the trace, and handles dependency failures.

The runner handles only `DependencyError`: it skips a failing source and calls the `fallback` of a failing hydrator or
scorer. Any other exception is a bug and propagates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic

import numpy as np

from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates, Ids, merge
from infra.pipeline.stages import CandidateSource, Filter, Hydrator, Q, QueryHydrator, Scorer, Selector, StageNames
from infra.pipeline.trace import Trace


@dataclass(frozen=True)
class Outcome(Generic[Q]):
    """The result of one request. `slate` is in display order.

    `pool` holds all candidates before the first ranking stage. `ranked` holds the candidates that passed every ranking
    stage, with the score of the last stage.
    """

    query: Q
    slate: Candidates
    trace: Trace
    pool: Candidates
    ranked: Candidates

    @cached_property
    def degraded(self) -> list[str]:
        return self.trace.degraded


@dataclass(frozen=True)
class CandidatePipeline(Generic[Q]):
    """query hydrators → sources → filters → hydrators → scorers → selector. Immutable and shared by threads.

    `names` holds the design's stage names. `scorers` maps the name of a ranking stage to its scorer, cheapest first.
    `cuts` maps the name of a ranking stage to the filter that removes candidates after it, and `late` the name of a
    ranking stage to the hydrators that run right before it, for the candidates that are left.
    """

    names: StageNames
    query_hydrators: Sequence[QueryHydrator[Q]]
    sources: Sequence[CandidateSource[Q]]
    filters: Sequence[Filter[Q]]
    hydrators: Sequence[Hydrator[Q]]
    scorers: Mapping[str, Scorer[Q]]
    selector: Selector[Q]
    cuts: Mapping[str, Filter[Q]] = field(default_factory=dict)
    late: Mapping[str, Sequence[Hydrator[Q]]] = field(default_factory=dict)

    def run(self, query: Q, trace: Trace | None = None) -> Outcome[Q]:
        """Answer one query. A `DependencyError` of a source, hydrator or scorer is never raised.

        `trace` may already hold earlier stages of the same request.
        """
        trace = Trace() if trace is None else trace
        for hydrator in self.query_hydrators:
            query = self.hydrate_query(hydrator, query, trace)
        found = [self._fetch(source, query, trace) for source in self.sources]
        # a single source returns no duplicates, so the union is skipped
        pool = merge(found) if len(found) > 1 else Candidates(found[0], np.ones(len(found[0]), np.uint32))
        for rule in self.filters:
            with trace.stage(self.names.filter, rule.name, len(pool)) as entry:
                keep = rule.keep(query, pool)
                pool = pool if keep is None or keep.all() else pool.take(keep)
                entry.count_out = len(pool)
                entry.removed = {rule.name: entry.count_in - entry.count_out}
        for step in self.hydrators:
            pool = self.hydrate(step, query, pool, trace)
        ranked = pool
        for stage, scorer in self.scorers.items():
            for step in self.late.get(stage, ()):
                ranked = self.hydrate(step, query, ranked, trace)
            ranked = self.score(stage, scorer, query, ranked, trace)
        with trace.stage(self.names.select, self.selector.name, len(ranked)) as entry:
            slate, entry.removed = self.selector.select(query, ranked)
            entry.count_out = len(slate)
        return Outcome(query, slate, trace, pool, ranked)

    def hydrate_query(self, hydrator: QueryHydrator[Q], query: Q, trace: Trace) -> Q:
        try:
            with trace.query_stage(self.names.query, hydrator.name):
                return hydrator.hydrate(query)
        except DependencyError as cause:
            return hydrator.fallback(query, cause)

    def _fetch(self, source: CandidateSource[Q], query: Q, trace: Trace) -> Ids:
        try:
            with trace.stage(self.names.source, source.name) as entry:
                found = source.fetch(query)
                entry.count_out = len(found)
                return found
        except DependencyError:
            return np.empty(0, np.int64)

    def hydrate(self, step: Hydrator[Q], query: Q, candidates: Candidates, trace: Trace) -> Candidates:
        try:
            with trace.stage(self.names.hydrate, step.name, len(candidates)) as entry:
                entry.count_out = len(candidates)
                return step.hydrate(query, candidates)
        except DependencyError as cause:
            return step.fallback(query, candidates, cause)

    def score(self, stage: str, scorer: Scorer[Q], query: Q, candidates: Candidates, trace: Trace) -> Candidates:
        with trace.stage(stage, scorer.name, len(candidates)) as entry:
            try:
                candidates = scorer.score(query, candidates)
            except DependencyError as cause:
                entry.degraded, entry.detail = cause.reason, str(cause)
                candidates = scorer.fallback(query, candidates, cause)
            cut = self.cuts.get(stage)
            keep = None if cut is None else cut.keep(query, candidates)
            if cut is not None and keep is not None:
                candidates = candidates.take(keep)
                entry.removed = {cut.name: entry.count_in - len(candidates)}
            entry.count_out = len(candidates)
            return candidates
