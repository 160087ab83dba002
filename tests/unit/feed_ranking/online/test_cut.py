"""The cut selects candidates for heavy ranking, and the rankers have fallbacks without a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed_ranking.config import ObjectiveConfig, RankConfig, RerankConfig, RetrieveConfig
from feed_ranking.domain import FeedQuery
from feed_ranking.features.views import default_user
from feed_ranking.model.artifact import worth_s
from feed_ranking.model.inputs import LIGHT_NAMES, ranker_names
from feed_ranking.model.slate_policy import is_by_new_creator
from feed_ranking.online.cut import NEW_CREATORS_KEPT, ScoreCut, best
from feed_ranking.online.light_rank import LightRanker, popularity
from feed_ranking.online.rank import HeavyRanker
from infra.errors import ModelUnavailable
from infra.pipeline.candidates import Candidates
from infra.resilience.deadline import Deadline
from tests.support.feed_parts import TOPICS

NAMES = ranker_names(TOPICS)
AGE = "creator_age_log"
CAUSE = ModelUnavailable("light_ranker", "gone")


def query(**knobs: float) -> FeedQuery:
    rank = RankConfig(heavy_top_k=int(knobs.get("heavy_top_k", 10)))
    rules = RerankConfig(epsilon=knobs.get("epsilon", 0.0))
    user, seen = default_user(TOPICS), np.empty(0, np.int64)
    parts = (RetrieveConfig(), rank, ObjectiveConfig(), rules)
    return FeedQuery(1, 20, seen, 0.0, 1, Deadline.after_ms(1000), *parts, user)


def pool(count: int, new: int = 0, seed: int = 0) -> Candidates:
    """Return candidates; the last `new` are by creators with an age of one day."""
    rng = np.random.default_rng(seed)
    light, inputs = (rng.normal(size=(count, len(names))).astype(np.float32) for names in (LIGHT_NAMES, NAMES))
    age = np.log1p(np.where(np.arange(count) < count - new, 100.0, 1.0)).astype(np.float32)
    worth = rng.normal(size=count).astype(np.float32)
    columns = {"light": light, "inputs": inputs, AGE: age, "post_worth_log": worth}
    return Candidates(np.arange(count), np.ones(count, np.uint32), columns)


def heads(inputs: np.ndarray) -> np.ndarray:
    """Four heads: a click probability from the first column, the rest fixed."""
    p = 1 / (1 + np.exp(-inputs[:, 0]))
    return np.stack([p, np.full_like(p, 0.2), np.full_like(p, 0.05), np.full_like(p, 10.0)], axis=1)


LIGHT, CUT = LightRanker(heads), ScoreCut()


@given(scores=st.lists(st.integers(0, 5), max_size=30), count=st.integers(0, 40))
def test_best_keeps_the_highest_scores_and_earlier_ties(scores: list[int], count: int) -> None:
    score = np.array(scores, np.float32)
    keep = best(score, count)
    assert keep.sum() == min(count, len(score))
    for kept in np.flatnonzero(keep):
        for lost in np.flatnonzero(~keep):
            assert (score[kept], -kept) > (score[lost], -lost)


@given(top_k=st.integers(1, 60), count=st.integers(1, 80))
def test_cut_keeps_exactly_heavy_top_k_candidates_without_exploration(top_k: int, count: int) -> None:
    asked, scored = query(heavy_top_k=top_k), LIGHT.score(query(), pool(count, new=count // 2))
    keep = CUT.keep(asked, scored)
    if count <= top_k:
        assert keep is None
    else:
        assert keep is not None
        assert keep.sum() == top_k
        assert scored.columns["score"][keep].min() >= scored.columns["score"][~keep].max()


def test_cut_keeps_new_creators_only_with_exploration() -> None:
    scored = LIGHT.score(query(), pool(200, new=80))
    scored = scored.with_columns(score=np.where(np.arange(200) < 120, 1.0, 0.0).astype(np.float32))
    without, with_them = (
        CUT.keep(query(heavy_top_k=20), scored),
        CUT.keep(query(heavy_top_k=20, epsilon=0.1), scored),
    )
    assert without is not None
    assert with_them is not None
    assert not without[120:].any()
    assert with_them[120:].sum() == NEW_CREATORS_KEPT
    assert with_them[:120].sum() == 20


def test_cut_is_skipped_without_heavy_ranking() -> None:
    assert CUT.keep(query(heavy_top_k=0), LIGHT.score(query(), pool(50))) is None


def test_light_ranker_reads_its_own_columns() -> None:
    candidates = pool(30)
    seen: list[np.ndarray] = []
    ranker = LightRanker(lambda x: (seen.append(x), heads(x))[1])
    scored = ranker.score(query(), candidates)
    np.testing.assert_array_equal(seen[0], candidates.columns["light"])
    np.testing.assert_allclose(scored.columns["score"], worth_s(heads(seen[0]), ObjectiveConfig()))


def test_light_ranker_falls_back_to_popularity() -> None:
    candidates = pool(30)
    scored = LIGHT.fallback(query(), candidates, CAUSE)
    np.testing.assert_array_equal(scored.columns["score"], popularity(candidates))
    assert np.argmax(scored.columns["score"]) == np.argmax(candidates.columns["post_worth_log"])


def test_creator_is_new_for_a_week() -> None:
    inputs = np.zeros((3, len(NAMES)), np.float32)
    inputs[:, NAMES.index(AGE)] = np.log1p([0.0, 6.9, 7.1])
    assert is_by_new_creator(inputs, TOPICS).tolist() == [True, True, False]


def test_heavy_ranker_scores_with_the_weights_of_the_request() -> None:
    candidates, asked = pool(12), query()
    clicks_only = replace(asked, objective=ObjectiveConfig(1.0, 0.0, 0.0, 0.0))
    scored = HeavyRanker(heads).score(clicks_only, candidates)
    np.testing.assert_allclose(scored.columns["score"], heads(candidates.columns["inputs"])[:, 0], rtol=1e-6)
    by_worth = HeavyRanker(heads).score(asked, candidates).columns["score"]
    assert by_worth == pytest.approx(scored.columns["score"] * (10.0 + 0.2 * 20 + 0.05 * 60), rel=1e-5)


def test_heavy_ranker_falls_back_to_the_light_score() -> None:
    scored = pool(12).with_columns(score=np.arange(12, dtype=np.float32))
    assert HeavyRanker(heads).score(query(heavy_top_k=0), scored) is scored
    assert HeavyRanker(heads).fallback(query(), scored, CAUSE) is scored
