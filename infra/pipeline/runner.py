"""Runs a request through its stages in order, records each in the trace, and contains what may fail.

Only a `DependencyError` is contained: a failing source is left out, a failing query hydrator falls back to its
declared defaults. Any other exception is a bug and passes through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates, Ids, merge
from infra.pipeline.stages import CandidateSource, Filter, Hydrator, Q, QueryHydrator, Scorer, Selector
from infra.pipeline.trace import Trace


@dataclass(frozen=True)
class Outcome(Generic[Q]):
    """The slate in the order it is shown, and how it came about."""

    query: Q
    slate: Candidates
    trace: Trace

    @property
    def degraded(self) -> list[str]:
        return self.trace.degraded


@dataclass(frozen=True)
class CandidatePipeline(Generic[Q]):
    """query hydrators → sources → filters → hydrators → scorer → selector. Immutable, shared by threads."""

    query_hydrators: Sequence[QueryHydrator[Q]]
    sources: Sequence[CandidateSource[Q]]
    filters: Sequence[Filter[Q]]
    hydrators: Sequence[Hydrator[Q]]
    scorer: Scorer[Q]
    selector: Selector[Q]

    def run(self, query: Q) -> Outcome[Q]:
        """Answer one query. Never raises a `DependencyError` of a source or query hydrator."""
        trace = Trace()
        for hydrator in self.query_hydrators:
            query = self._hydrate_query(hydrator, query, trace)
        candidates = merge([self._fetch(source, query, trace) for source in self.sources])
        for rule in self.filters:
            with trace.stage("filter", rule.name, len(candidates)) as entry:
                keep = rule.keep(query, candidates)
                candidates = candidates.take(keep)
                entry.count_out = len(candidates)
                entry.removed = {rule.name: entry.count_in - entry.count_out}
        for step in self.hydrators:
            with trace.stage("hydrate", step.name, len(candidates)) as entry:
                candidates = step.hydrate(query, candidates)
                entry.count_out = len(candidates)
        with trace.stage("rank", self.scorer.name, len(candidates)) as entry:
            candidates = self.scorer.score(query, candidates)
            entry.count_out = len(candidates)
        with trace.stage("rerank", self.selector.name, len(candidates)) as entry:
            slate, entry.removed = self.selector.select(query, candidates)
            entry.count_out = len(slate)
        return Outcome(query, slate, trace)

    @staticmethod
    def _hydrate_query(hydrator: QueryHydrator[Q], query: Q, trace: Trace) -> Q:
        try:
            with trace.stage("query", hydrator.name):
                return hydrator.hydrate(query)
        except DependencyError as cause:
            return hydrator.fallback(query, cause)

    @staticmethod
    def _fetch(source: CandidateSource[Q], query: Q, trace: Trace) -> Ids:
        try:
            with trace.stage("retrieve", source.name) as entry:
                found = source.fetch(query)
                entry.count_out = len(found)
                return found
        except DependencyError:
            return np.empty(0, np.int64)
