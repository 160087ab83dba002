"""Protocols of the stages of a request. A design implements them; `CandidatePipeline` runs them in order.

`Q` is the design's query: a frozen value that holds the request and its features. Traces and metrics use the `name` of
each stage. A stage raises `DependencyError` if a dependency fails. The runner then skips the source or calls the
stage's `fallback`, and marks the response as degraded.
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
    """A design's names for its stages, as shown by traces, the `Server-Timing` header and metrics.

    The names of the scoring stages are the keys of `CandidatePipeline.scorers`.
    """

    query: str
    source: str
    filter: str
    hydrate: str
    select: str


class QueryHydrator(Protocol[Q]):
    """Adds the features of the requesting entity to the query."""

    @property
    def name(self) -> str: ...

    def hydrate(self, query: Q) -> Q: ...

    def fallback(self, query: Q, cause: DependencyError) -> Q:
        """Return the query with declared defaults, or with the stale row in `cause`, after `hydrate` raised."""
        ...


class CandidateSource(Protocol[Q_contra]):
    """Fetches candidate ids: int64[n], best first, without duplicates. The array may be empty."""

    @property
    def name(self) -> str: ...

    def fetch(self, query: Q_contra) -> Ids: ...


class Filter(Protocol[Q_contra]):
    """Marks the candidates to keep: bool[n], or None for all. The trace shows `name` as the reason for a removal."""

    @property
    def name(self) -> str: ...

    def keep(self, query: Q_contra, candidates: Candidates) -> Keep | None: ...


class Hydrator(Protocol[Q_contra]):
    """Adds columns. Returns the same candidates in the same order."""

    @property
    def name(self) -> str: ...

    def hydrate(self, query: Q_contra, candidates: Candidates) -> Candidates: ...

    def fallback(self, query: Q_contra, candidates: Candidates, cause: DependencyError) -> Candidates:
        """Return the same columns from a less accurate source, after `hydrate` raised."""
        ...


class Scorer(Protocol[Q_contra]):
    """Adds the column `score`. It neither reorders nor removes candidates."""

    @property
    def name(self) -> str: ...

    def score(self, query: Q_contra, candidates: Candidates) -> Candidates: ...

    def fallback(self, query: Q_contra, candidates: Candidates, cause: DependencyError) -> Candidates:
        """Return the same candidates with a less accurate `score` column, after `score` raised."""
        ...


class Selector(Protocol[Q_contra]):
    """Builds the slate. Returns the selected candidates in display order, and the number removed per reason."""

    @property
    def name(self) -> str: ...

    def select(self, query: Q_contra, candidates: Candidates) -> tuple[Candidates, dict[str, int]]: ...
