"""`has_rows` checks whether a shared online store still holds the rows of a build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.errors import FeatureStoreUnavailable
from infra.feature_store.online_rows import SqliteRows
from infra.feature_store.presence import has_rows, write_written
from infra.settings import Settings


class Rows(SqliteRows):
    """A shared store with these counts by project and view."""

    errors: tuple[type[Exception], ...] = (ConnectionError,)

    def __init__(self, counts: Mapping[tuple[str, str], int] | None) -> None:
        self._counts = counts

    def count(self, project: str, view: str) -> int:
        if self._counts is None:
            raise ConnectionError("refused")
        return self._counts.get((project, view), 0)


@pytest.fixture
def shared(tmp_path: Path) -> Settings:
    write_written(tmp_path, "tiny_1", ["profile", "activity"])
    return Settings(home=tmp_path, redis="127.0.0.1:1")


def test_has_rows_requires_rows_in_every_view_of_the_build(shared: Settings) -> None:
    both = {("tiny_1", "profile"): 3, ("tiny_1", "activity"): 2}
    assert has_rows(shared.home, shared, Rows(both))
    assert not has_rows(shared.home, shared, Rows({("tiny_1", "profile"): 3}))
    assert not has_rows(shared.home, shared, Rows({("tiny_2", view): rows for (_, view), rows in both.items()}))


def test_has_rows_raises_when_the_store_does_not_answer(shared: Settings) -> None:
    with pytest.raises(FeatureStoreUnavailable, match="refused"):
        has_rows(shared.home, shared, Rows(None))


def test_has_rows_is_true_for_an_embedded_store(tmp_path: Path) -> None:
    assert has_rows(tmp_path, Settings(home=tmp_path), Rows(None))
