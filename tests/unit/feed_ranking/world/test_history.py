"""The world is deterministic by seed, grows day by day, and keeps its latent variables out of the logs."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from feed_ranking.config import WorldConfig
from feed_ranking.offline.generate import write_catalogue, write_log
from feed_ranking.world.truth import World, make_world
from infra.settings import REPOSITORY
from tests.support.feed_log import log_days

CONFIG = WorldConfig(
    users=300, creators_at_start=50, new_creators_per_day=2, posts_per_day=120, days=3, sessions_per_user_day=1.0
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(CONFIG)


def test_same_seed_reproduces_the_log_and_another_seed_changes_it(world: World) -> None:
    for (_, one), (_, two) in zip(log_days(world), log_days(make_world(CONFIG)), strict=True):
        assert one.equals(two)
    other = make_world(replace(CONFIG, seed=8))
    assert not np.array_equal(world.people.taste, other.people.taste)
    assert not np.array_equal(world.posts.quality, other.posts.quality)


def test_longer_history_starts_with_the_shorter_one(world: World) -> None:
    longer = make_world(replace(CONFIG, days=5))
    np.testing.assert_array_equal(world.people.taste, longer.people.taste)
    for part in ("creators", "posts", "bursts"):
        for item in fields(getattr(world, part)):
            values, more = (getattr(getattr(one, part), item.name) for one in (world, longer))
            np.testing.assert_array_equal(values, more[: len(values)], item.name)
    edges = set(zip(world.graph.user.tolist(), world.graph.creator.tolist(), strict=True))
    old = longer.graph.creator < len(world.creators)
    assert edges == set(zip(longer.graph.user[old].tolist(), longer.graph.creator[old].tolist(), strict=True))
    for (_, one), (_, two) in zip(log_days(world), log_days(longer), strict=False):
        assert one.equals(two)


def test_changed_click_weight_leaves_the_world_unchanged(world: World) -> None:
    other = make_world(replace(CONFIG, bait_click=0.0))
    np.testing.assert_array_equal(world.posts.bait, other.posts.bait)
    np.testing.assert_array_equal(world.graph.keys, other.graph.keys)
    np.testing.assert_array_equal(world.people.activity, other.people.activity)


def test_added_day_writes_only_that_day_and_equals_a_full_run(world: World, tmp_path: Path) -> None:
    longer = make_world(replace(CONFIG, days=4))
    write_log(world, tmp_path / "grown", lambda *_: None)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in (tmp_path / "grown").rglob("*.parquet")}
    write_log(longer, tmp_path / "grown", lambda *_: None)
    write_log(longer, tmp_path / "whole", lambda *_: None)
    assert len(before) == 3
    for file, (content, time) in before.items():
        assert (file.read_bytes(), file.stat().st_mtime_ns) == (content, time)
    grown, whole = (sorted((tmp_path / name).rglob("*.parquet")) for name in ("grown", "whole"))
    assert [file.parent.name for file in grown] == [file.parent.name for file in whole]
    assert len(grown) == 4
    for one, two in zip(grown, whole, strict=True):
        assert one.parent.name.startswith("date=2026-01-")
        assert pq.read_table(one).equals(pq.read_table(two))


def test_catalogue_and_logs_contain_no_latent_world_columns(world: World, tmp_path: Path) -> None:
    write_catalogue(world, tmp_path)
    columns = {name for file in tmp_path.glob("*.parquet") for name in pq.read_schema(file).names}
    assert {"quality_signal", "bait_signal", "declared_0"} <= columns
    assert not {name for name in columns if name in ("taste", "quality", "bait") or "burst" in name}
    logged = {name for _, table in log_days(world) for name in table.column_names}
    assert not {name for name in logged if any(word in name for word in ("taste", "quality", "bait", "burst", "true"))}


def test_only_the_generator_and_the_evaluation_import_the_world() -> None:
    allowed = {
        f"feed_ranking/{name}.py"
        for name in ("offline/generate", "evaluation/gate", "evaluation/judge", "evaluation/simulated_days")
    }
    reaching = set()
    for file in (REPOSITORY / "feed_ranking").rglob("*.py"):
        if "world" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.startswith("feed_ranking.world") for name in names):
                reaching.add(str(file.relative_to(REPOSITORY)))
    assert reaching == allowed


def test_follows_are_unique_and_sorted(world: World) -> None:
    graph = world.graph
    for user in range(0, CONFIG.users, 23):
        mine = graph.creator[graph.start[user] : graph.start[user + 1]]
        assert mine.tolist() == sorted(set(mine.tolist()))
        np.testing.assert_array_equal(
            np.flatnonzero(graph.is_following(np.int64(user), np.arange(graph.creators))), mine
        )
