"""The stages of every design that chooses among candidates keep the contract of the pipeline, on a built world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from infra.errors import FeatureStoreUnavailable
from infra.pipeline.candidates import Candidates, merge
from infra.settings import Settings
from lab.designs import NAMES
from tests.support.harness import QUOTE_SUBJECTS, SUBJECTS, Subject

CAUSE = FeatureStoreUnavailable("test")


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request: pytest.FixtureRequest, settings: Settings) -> Subject:
    return SUBJECTS[request.param](settings)


def hydrated(subject: Subject) -> list[tuple[Any, Candidates]]:
    """Return each query after its hydrators, with the candidates of all sources."""
    found = []
    for query in subject.queries():
        for hydrator in subject.pipeline.query_hydrators:
            query = hydrator.hydrate(query)
        found.append((query, merge([source.fetch(query) for source in subject.pipeline.sources])))
    return found


def test_every_design_has_a_subject() -> None:
    assert set(SUBJECTS) | set(QUOTE_SUBJECTS) == set(NAMES)


def test_sources_return_unique_ids(subject: Subject) -> None:
    for query, _ in hydrated(subject):
        for source in subject.pipeline.sources:
            ids = source.fetch(query)
            assert ids.dtype == np.int64, source.name
            assert len(np.unique(ids)) == len(ids), source.name


def test_filters_return_one_boolean_per_candidate(subject: Subject) -> None:
    for query, candidates in hydrated(subject):
        for rule in subject.pipeline.filters:
            keep = rule.keep(query, candidates)
            if keep is None:  # all of them
                continue
            assert keep.dtype == np.bool_
            assert len(keep) == len(candidates), rule.name


def test_hydrators_and_scorers_keep_candidates_in_order(subject: Subject) -> None:
    for query, candidates in hydrated(subject):
        before = candidates.ids.copy()
        for hydrator in subject.pipeline.hydrators:
            candidates = hydrator.hydrate(query, candidates)
            np.testing.assert_array_equal(candidates.ids, before, hydrator.name)
        for stage, scorer in subject.pipeline.scorers.items():
            candidates = ready(subject, stage, query, candidates)
            scored = scorer.score(query, candidates)
            np.testing.assert_array_equal(scored.ids, candidates.ids, scorer.name)
            assert scored.columns["score"].dtype == np.float32
            assert np.isfinite(scored.columns["score"]).all()
            candidates = kept(subject, stage, query, scored)


def ready(subject: Subject, stage: str, query: Any, candidates: Candidates) -> Candidates:
    """Return the candidates of a ranking stage after the hydrators that run right before it."""
    for hydrator in subject.pipeline.late.get(stage, ()):
        usual, instead = hydrator.hydrate(query, candidates), hydrator.fallback(query, candidates, CAUSE)
        np.testing.assert_array_equal(usual.ids, candidates.ids, hydrator.name)
        np.testing.assert_array_equal(instead.ids, candidates.ids, hydrator.name)
        assert instead.columns.keys() == usual.columns.keys()
        candidates = usual
    return candidates


def kept(subject: Subject, stage: str, query: Any, scored: Candidates) -> Candidates:
    """Return the candidates that the stage's cut keeps."""
    cut = subject.pipeline.cuts.get(stage)
    keep = None if cut is None else cut.keep(query, scored)
    return scored if keep is None else scored.take(keep)


def ranked(subject: Subject, query: Any, candidates: Candidates) -> Candidates:
    for hydrator in subject.pipeline.hydrators:
        candidates = hydrator.hydrate(query, candidates)
    for stage, scorer in subject.pipeline.scorers.items():
        candidates = ready(subject, stage, query, candidates)
        candidates = kept(subject, stage, query, scorer.score(query, candidates))
    return candidates


def test_cut_keeps_the_highest_scores_in_order(subject: Subject) -> None:
    for query, candidates in hydrated(subject):
        for hydrator in subject.pipeline.hydrators:
            candidates = hydrator.hydrate(query, candidates)
        for stage, scorer in subject.pipeline.scorers.items():
            candidates = ready(subject, stage, query, candidates)
            scored = scorer.score(query, candidates)
            candidates = kept(subject, stage, query, scored)
            places = np.flatnonzero(np.isin(scored.ids, candidates.ids))
            np.testing.assert_array_equal(scored.ids[places], candidates.ids, scorer.name)
            if len(candidates):
                assert candidates.columns["score"].max() == scored.columns["score"].max()


def test_fallbacks_return_the_same_columns_and_candidates(subject: Subject) -> None:
    for query, candidates in hydrated(subject):
        for hydrator in subject.pipeline.hydrators:
            instead, usual = hydrator.fallback(query, candidates, CAUSE), hydrator.hydrate(query, candidates)
            np.testing.assert_array_equal(instead.ids, usual.ids)
            assert instead.columns.keys() == usual.columns.keys()
            candidates = usual
        for stage, scorer in subject.pipeline.scorers.items():
            candidates = ready(subject, stage, query, candidates)
            instead = scorer.fallback(query, candidates, CAUSE)
            np.testing.assert_array_equal(instead.ids, candidates.ids)
            assert np.isfinite(instead.columns["score"]).all()
            candidates = scorer.score(query, candidates)


def test_score_does_not_depend_on_other_candidates(subject: Subject) -> None:
    query, candidates = hydrated(subject)[0]
    for hydrator in subject.pipeline.hydrators:
        candidates = hydrator.hydrate(query, candidates)
    for stage, scorer in subject.pipeline.scorers.items():
        candidates = ready(subject, stage, query, candidates)
        whole = scorer.score(query, candidates).columns["score"]
        half = np.arange(0, len(candidates), 2)
        alone = scorer.score(query, candidates.take(half)).columns["score"]
        np.testing.assert_allclose(alone, whole[half], rtol=1e-4)


def test_slate_and_removed_counts_add_up_to_the_candidates(subject: Subject) -> None:
    for query, candidates in hydrated(subject):
        scored = ranked(subject, query, candidates)
        slate, removed = subject.pipeline.selector.select(query, scored)
        assert len(np.unique(slate.ids)) == len(slate)
        assert set(slate.ids) <= set(scored.ids)
        assert len(scored) == len(slate) + sum(removed.values())


def test_same_query_gets_the_same_slate(subject: Subject) -> None:
    for first, second in zip(subject.queries(), subject.queries(), strict=True):
        again = replace(first, deadline=second.deadline)
        np.testing.assert_array_equal(subject.pipeline.run(first).slate.ids, subject.pipeline.run(again).slate.ids)


def test_healthy_request_is_not_degraded_and_its_trace_counts_add_up(subject: Subject) -> None:
    for query in subject.queries():
        outcome = subject.pipeline.run(query)
        assert outcome.degraded == []
        for stage in outcome.trace.stages:
            if stage.removed:
                assert stage.count_in == stage.count_out + sum(stage.removed.values()), stage.name
        assert outcome.trace.stages[-1].count_out == len(outcome.slate)
