"""All inputs of the heavy ranker are those of one view of the posts, also if counts arrive within a request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from feed_ranking.online import inputs
from feed_ranking.online.inputs import InputHydrator
from infra.pipeline.candidates import Candidates

IDS = np.arange(3)


class Posts:
    """A view whose posts all have the same embedding."""

    def __init__(self, stats_ts: float, embedding: float) -> None:
        self.stats_ts, self.embedding = stats_ts, embedding

    def posts(self, ids: np.ndarray) -> Any:
        return SimpleNamespace(creator_id=ids)

    def item_side(self, ids: np.ndarray) -> np.ndarray:
        return np.zeros((len(ids), 2), np.float32)

    def embeddings(self, ids: np.ndarray) -> np.ndarray:
        return np.full((len(ids), 4), self.embedding, np.float32)


@pytest.mark.parametrize(("embedding", "score"), [(np.ones(4, np.float32), 8.0), (None, 0.0)])
def test_counts_within_a_request_change_the_towers_score_too(
    monkeypatch: pytest.MonkeyPatch, embedding: np.ndarray | None, score: float
) -> None:
    monkeypatch.setattr(inputs, "ranker_inputs", lambda user, posts, side, towers, *_, **__: towers[:, None])
    query: Any = SimpleNamespace(
        embedding=embedding, seen_creators=np.empty(0, int), seen=[], now_ts=0.0, user=None, user_topics=None
    )
    before = Candidates(IDS, np.ones(3, np.uint32)).with_columns(tower_score=np.full(3, 4.0, np.float32))
    catalogue: Any = SimpleNamespace(view=Posts(7.0, 2.0))
    found = InputHydrator(catalogue, priors=SimpleNamespace()).hydrate(query, before)  # type: ignore[arg-type]
    assert found.columns["inputs"].ravel().tolist() == [score] * 3
    assert found.columns["tower_score"].tolist() == [score] * 3
    assert found.columns["stats_ts"].tolist() == [7.0] * 3
