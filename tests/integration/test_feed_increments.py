"""A build reads only the new files of the live log, and its samples have the same bytes as after a full read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from feed_ranking.config import SMOKE
from feed_ranking.design import DESIGN
from feed_ranking.domain import RANDOM_POLICY
from feed_ranking.events.cuts import live_root
from feed_ranking.offline.feature_tables import SnapshotTimes
from feed_ranking.offline.live_rows import JOINED, JOINED_IDS, ROWS
from infra.build.fingerprints import current_output
from infra.build.runner import build
from infra.columns import DAY_S, HOUR_S
from infra.settings import Settings
from tests.support.live_log import reaction, write_posts, write_reactions

TINY = {
    "smoke": replace(
        SMOKE,
        world=replace(SMOKE.world, users=60, creators_at_start=12, posts_per_day=40, days=4),
        sample=replace(SMOKE.sample, rows=2_000),
    )
}
END = SnapshotTimes.of(TINY["smoke"]).last
NEW = 10**9
FIRST = ("world", "live", "features", "materialize", "sample")
STEPS = replace(
    DESIGN,
    config="tests.integration.test_feed_increments:TINY",
    steps=tuple(step for step in DESIGN.steps if step.name in FIRST),
)
SAMPLES = ("train.npz", "holdout.npz", "fresh.npz")


def slates(first: int, count: int, at_s: float, **given: Any) -> list[dict[str, Any]]:
    """Slates of four posts at successive seconds. Every third post is clicked, and every fifth slate is random."""
    return [
        reaction(
            user_id=(7 * number) % 60, post_id=100 + (13 * number + place) % 100, slate_id=10**14 + number,
            position=place, request_ts=at_s + number - first, clicked=(number + place) % 3 == 0,
            policy=RANDOM_POLICY if number % 5 == 0 else "ranked_v1", **given,
        )
        for number in range(first, first + count)
        for place in range(4)
    ]  # fmt: skip


@dataclass(frozen=True)
class Log:
    """What the worker has written when a build begins: files by name, and posts."""

    files: Mapping[str, list[dict[str, Any]]]
    posts: Mapping[str, list[dict[str, Any]]]

    def write(self, settings: Settings) -> None:
        for name, rows in self.files.items():
            write_reactions(live_root(settings), name, rows)
        for name, posts in self.posts.items():
            write_posts(live_root(settings), name, posts)


PUBLISHED = [{"post_id": NEW, "published_ts": END + 10.0}]
BEFORE = Log(
    {
        "0": slates(0, 60, END + 100),
        "1": [*slates(60, 40, END + 3 * HOUR_S), *(row | {"post_id": NEW + 1} for row in slates(100, 5, END + 400))],
        "1b": slates(150, 30, END + 7 * HOUR_S),
    },
    {"0": PUBLISHED},
)
REPEATED = slates(0, 10, END + 100, label_ts=END + 4 * HOUR_S)
THE_REST_OF_A_SLATE = [row | {"position": row["position"] + 4} for row in slates(60, 10, END + 3 * HOUR_S)]
AFTER = {
    "minutes, the next day, repeated events and the rest of slates": Log(
        {
            "2": [*slates(200, 50, END + 4 * HOUR_S), *REPEATED],
            "3": [row | {"event_id": row["event_id"] + 4} for row in THE_REST_OF_A_SLATE],
            "4": slates(400, 50, END + DAY_S + 60),
        },
        {},
    ),
    "a post after its impressions, and late labels before the last snapshot": Log(
        {"5": slates(300, 30, END + 60)}, {"1": [{"post_id": NEW + 1, "published_ts": END + 20.0}]}
    ),
}


def build_samples(settings: Settings) -> dict[str, Any]:
    return dict(build(STEPS, settings)[-1].facts)


def output(settings: Settings, step: str) -> Path:
    return current_output(settings.design_root("feed_ranking"), step)


def bytes_of(settings: Settings) -> dict[str, bytes]:
    files = [*SAMPLES, *(f"live/{name}" for name in (ROWS, JOINED, JOINED_IDS))]
    return {name: (output(settings, "sample") / name).read_bytes() for name in files}


@contextmanager
def damaged(files: Sequence[Path]) -> Iterator[None]:
    """Whoever reads one of the files raises an error."""
    contents = {file: file.read_bytes() for file in files}
    for file in files:
        file.unlink()  # it is linked to the worker's file
        file.write_bytes(b"read before")
    try:
        yield
    finally:
        for file, content in contents.items():
            file.write_bytes(content)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a build on the first part of the log, which reaches beyond a snapshot of the posts."""
    settings = Settings(home=tmp_path_factory.mktemp("grown"), preset="smoke")
    BEFORE.write(settings)
    facts = build_samples(settings)
    assert (facts["live_files_read"], facts["live_files_kept"]) == (len(BEFORE.files), 0)
    return settings


@pytest.mark.parametrize("what", AFTER)
def test_only_new_files_are_read_and_the_samples_equal_those_of_a_full_read(what: str, settings: Settings) -> None:
    """The log grows from case to case."""
    known = {path.name for path in (output(settings, "live") / "log").rglob("*.parquet")}
    AFTER[what].write(settings)
    build(replace(STEPS, steps=STEPS.steps[:-1]), settings)
    with damaged([path for path in (output(settings, "live") / "log").rglob("*.parquet") if path.name in known]):
        facts = build_samples(settings)
    assert facts["live_files_read"] == len(AFTER[what].files)
    assert facts["live_files_kept"] == len(known)
    after_new_files = bytes_of(settings)
    shutil.rmtree(settings.design_root("feed_ranking") / "steps" / "sample")
    facts = build_samples(settings)
    assert facts["live_files_read"] == len(AFTER[what].files) + len(known)
    assert bytes_of(settings) == after_new_files
    assert facts["live_rows"] > 200
    assert facts["fresh_rows"] > 50
