"""A build trains on live events, and no row of its tables contains information from after its time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.design import DESIGN
from feed_ranking.domain import AD, COUNTS, EMPTY, RANDOM_POLICY
from feed_ranking.evaluation.judge import Judge
from feed_ranking.events.cuts import cut_of, live_root
from feed_ranking.events.history import cut_log
from feed_ranking.offline.feature_tables import SnapshotTimes
from feed_ranking.offline.samples import Sample
from infra.build.current import is_built
from infra.build.runner import StepContext, build
from infra.columns import DAY_S, timestamps
from infra.errors import LabError
from infra.settings import Settings
from tests.support.live_log import reaction, write_posts, write_reactions

END = SnapshotTimes.of(SMOKE).last
NEW = 10**9
"""Id of a live post, chosen by the client."""
USER, OTHER_USER = 7, 8
FIRST = ("world", "live", "features", "materialize", "sample")
FIRST_STEPS = replace(DESIGN, steps=tuple(step for step in DESIGN.steps if step.name in FIRST))
PUBLISHED, SHOWN = END + 100.5, END + 200.25
LABELLED = END + DAY_S + 40.5
"""Arrival time of the label of the click: a day later, after the next midnight snapshot."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("live"), preset="smoke")
    write_live_log(live_root(settings))
    build(FIRST_STEPS, settings)
    return settings


def write_live_log(root: Path) -> None:
    write_posts(root, "0", [{"post_id": NEW, "published_ts": PUBLISHED}, {"post_id": 3, "published_ts": PUBLISHED}])
    click = reaction(user_id=USER, post_id=NEW, slate_id=10**14, request_ts=SHOWN, label_ts=LABELLED)
    early = reaction(user_id=USER, post_id=NEW, slate_id=10**14 + 1, request_ts=PUBLISHED - 9)
    random = reaction(user_id=OTHER_USER, post_id=NEW, slate_id=10**14 + 2, request_ts=SHOWN, policy=RANDOM_POLICY)
    unknown_user = reaction(user_id=10**9, post_id=NEW, slate_id=10**14 + 3, request_ts=SHOWN)
    unknown_post = reaction(user_id=USER, post_id=NEW + 1, slate_id=10**14 + 4, request_ts=SHOWN)
    impossible = reaction(user_id=USER, post_id=NEW, slate_id=10**14 + 5, position=4, depth=1, request_ts=SHOWN)
    write_reactions(root, "0", [random, click, impossible])
    write_reactions(root, "1", [click, early, unknown_user, unknown_post])
    (root / "log" / "half.parquet.tmp").write_text("not complete")


def output(settings: Settings, step: str) -> Path:
    current = json.loads((settings.design_root("feed_ranking") / "current.json").read_text())
    return Path(current[step])


def at(table: pa.Table, t: float, name: str, value: int) -> list[dict[str, object]]:
    chosen = pc.and_(pc.equal(table["feature_ts"], timestamps(np.array([t]))[0]), pc.equal(table[name], value))
    found: list[dict[str, object]] = table.filter(chosen).to_pylist()
    return found


def test_cut_records_event_counts_and_end_time(settings: Settings) -> None:
    cut = json.loads((output(settings, "live") / "live.json").read_text())
    assert cut == {"events": 5, "posts": 2, "until": np.floor(LABELLED) + 1}
    kept, live = (next(root.rglob("log/**/part-0.parquet")) for root in (output(settings, "live"), live_root(settings)))
    assert kept.stat().st_ino == live.stat().st_ino, "linked, not copied"


def test_live_post_joins_the_catalogue_and_a_known_post_is_not_duplicated(settings: Settings) -> None:
    content = pq.read_table(output(settings, "features") / "post_content.parquet").to_pandas()
    new = content[content["post_id"] == NEW]
    assert new["published_ts"].tolist() == [PUBLISHED]
    assert len(content[content["post_id"] == 3]) == 1
    assert content["published_ts"].is_monotonic_increasing


def test_live_click_counts_from_its_label_time(settings: Settings) -> None:
    until = np.floor(LABELLED) + 1
    features = output(settings, "features")
    activity, posts = (pq.read_table(features / f"{view}.parquet") for view in ("user_activity", "post_stats"))
    clicks = COUNTS.index("clicks")
    before, after = (at(activity, t, "user_id", USER)[0]["counts_recent"] for t in (END + DAY_S, until))
    assert after[clicks] - before[clicks] == 1 - _clicks_that_left_the_window(settings, END + DAY_S, until)  # type: ignore[index]
    assert [at(posts, t, "post_id", NEW)[0]["post_clicks"] for t in (END + DAY_S, until)] == [2, 3]
    assert at(posts, END, "post_id", NEW) == [], "the post is not published yet"


def _clicks_that_left_the_window(settings: Settings, t: float, until: float) -> int:
    """Return the number of the user's clicks that leave the recent window between `t` and `until`."""
    log = pq.read_table(output(settings, "world") / "log", columns=["label_ts", "user_id", "clicked"]).to_pandas()
    recent_s = SMOKE.features.recent_days * DAY_S
    known = log["label_ts"].astype("int64") / 1e6
    gone = (known >= t - recent_s) & (known < until - recent_s) & (log["user_id"] == USER)
    return int(log[gone]["clicked"].sum())


def test_training_sample_has_live_events_except_the_randomised_bucket(settings: Settings) -> None:
    facts = json.loads((output(settings, "sample") / "step.json").read_text())["facts"]
    assert facts["live_rows"] == 1
    train, holdout = (Sample.read(output(settings, "sample") / f"{name}.npz") for name in ("train", "holdout"))
    row = np.flatnonzero(train.post_id == NEW)
    assert train.user_id[row].tolist() == [USER]
    assert train.slate_id[row].tolist() == [10**14]
    assert train.posts.published_ts[row].tolist() == [PUBLISHED]
    assert train.posts.stats[row, 2:4].tolist() == [[1, 1]], "the impression whose label came 49 s before is counted"
    assert NEW not in holdout.post_id


def test_live_events_do_not_outdate_a_build_and_the_next_build_includes_them(settings: Settings) -> None:
    assert is_built(FIRST_STEPS, settings)
    before = output(settings, "features")
    write_reactions(live_root(settings), "2", [reaction(user_id=OTHER_USER, post_id=NEW, request_ts=LABELLED)])
    assert is_built(FIRST_STEPS, settings)
    runs = build(FIRST_STEPS, settings)
    assert [run.name for run in runs if not run.skipped] == ["live", "features", "materialize", "sample"]
    assert runs[-1].facts["live_rows"] == 2
    assert before.exists(), "the served outputs are kept"


def test_judge_treats_unknown_posts_as_empty_places() -> None:
    judge = Judge(SMOKE)
    old = judge.alive()[:3]
    played = np.array([NEW, AD, *old])
    assert judge.known(played).tolist() == [EMPTY, AD, *old]
    answer = {"slate": [{"post_id": None if post == AD else int(post)} for post in played]}
    assert np.isfinite(judge.captured_by([USER], [answer]).value)


def test_missing_or_damaged_live_file_is_reported(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    assert cut_of(settings) == ""
    write_live_log(live_root(settings))
    out, file = tmp_path / "out", next(live_root(settings).rglob("log/**/part-1.parquet"))
    context = StepContext(DESIGN, settings, SMOKE, out, {}, lambda share, text: None, cut=cut_of(settings))
    out.mkdir()
    file.write_bytes(b"no parquet")
    with pytest.raises(LabError, match=r"part-1\.parquet"):
        cut_log(context)
    file.unlink()
    with pytest.raises(LabError, match=r"part-1\.parquet existed when the build began"):
        cut_log(replace(context, out=tmp_path / "again"))
