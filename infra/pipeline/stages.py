"""The stages of a request, as protocols. A design fills them in; `CandidatePipeline` runs them in order.

`Q` is the design's query: a frozen value with all that is known of the request. Each stage has a `name` that
traces and metrics use. A stage that cannot reach what it needs raises a `DependencyError`; the runner then
takes the stage's way out (skip a source, fill in declared defaults) and marks the answer as degraded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates, Ids, Keep

Q = TypeVar("Q")
Q_contra = TypeVar("Q_contra", contravariant=True)


@dataclass(frozen=True)
class StageNames:
    """What a design calls its stages. Traces, the `Server-Timing` header and metrics show these names.

    The scorers' stages have their names in `CandidatePipeline.scorers`.
    """

    query: str
    source: str
    filter: str
    hydrate: str
    select: str


class QueryHydrator(Protocol[Q]):
    """Enriches the query with what is known of the asking entity."""

    @property
    def name(self) -> str: ...

    def hydrate(self, query: Q) -> Q: ...

    def fallback(self, query: Q, cause: DependencyError) -> Q:
        """The query with declared defaults (or a stale row that `cause` carries), when `hydrate` raises."""
        ...


class CandidateSource(Protocol[Q_contra]):
    """Fetches the ids of candidates: int64[n], best first, without doubles. May return none."""

    @property
    def name(self) -> str: ...

    def fetch(self, query: Q_contra) -> Ids: ...


class Filter(Protocol[Q_contra]):
    """Marks the candidates that stay: bool[n], or None for all. `name` is the reason of the removal in the trace."""

    @property
    def name(self) -> str: ...

    def keep(self, query: Q_contra, candidates: Candidates) -> Keep | None: ...


class Hydrator(Protocol[Q_contra]):
    """Adds columns. Returns the same candidates in the same order."""

    @property
    def name(self) -> str: ...

    def hydrate(self, query: Q_contra, candidates: Candidates) -> Candidates: ...

    def fallback(self, query: Q_contra, candidates: Candidates, cause: DependencyError) -> Candidates:
        """The same columns from a poorer source, when `hydrate` raises."""
        ...


class Scorer(Protocol[Q_contra]):
    """Adds the column `score`. It neither reorders nor removes candidates."""

    @property
    def name(self) -> str: ...

    def score(self, query: Q_contra, candidates: Candidates) -> Candidates: ...

    def fallback(self, query: Q_contra, candidates: Candidates, cause: DependencyError) -> Candidates:
        """The same candidates with a poorer `score`, when `score` raises."""
        ...


class Selector(Protocol[Q_contra]):
    """Builds the slate: returns the chosen candidates in the order they are shown, and why others were left out."""

    @property
    def name(self) -> str: ...

    def select(self, query: Q_contra, candidates: Candidates) -> tuple[Candidates, dict[str, int]]: ...
