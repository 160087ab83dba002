"""Feature tables equal a recount of the log with the events known before each row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.domain import COUNTS, CREATOR_COUNTS, REACTIONS, TOPIC_COUNTS
from feed_ranking.events.history import EventLog, read_log
from feed_ranking.features.aggregates import REGIONS, activity_at, creator_stats_at, post_stats_at
from feed_ranking.offline import feature_tables
from feed_ranking.offline.feature_tables import (
    SnapshotTimes,
    compute_tables,
    creator_stats,
    post_stats,
    user_activity,
)
from infra.build.runner import StepContext
from infra.columns import DAY_S, HOUR_S, timestamps
from infra.settings import Settings
from tests.support.feed_tables import (
    CONFIG,
    CREATOR,
    CREATORS,
    END,
    POSTS,
    REGION,
    SLOTS,
    START,
    TIMES,
    TOPIC,
    TOPICS,
    USERS,
    Event,
    catalogue,
    event_log,
    events,
    tables,
)
from tests.support.tiny import tiny_design

LOGS = st.lists(events(), max_size=25)
SNAPSHOTS = st.sampled_from(sorted({*TIMES.daily.tolist(), *TIMES.posts.tolist()}))
MIDNIGHTS = st.sampled_from(TIMES.daily[1:-1].tolist())
LATER_S = st.one_of(st.just(0), st.integers(0, int(2 * DAY_S)))
FEATURES = CONFIG.features


def until(table: pa.Table, t: float) -> pa.Table:
    return table.filter(pc.less_equal(table["feature_ts"], timestamps(np.array([t]))[0]))


def at(table: pa.Table, t: float) -> list[dict[str, Any]]:
    return table.filter(pc.equal(table["feature_ts"], timestamps(np.array([t]))[0])).to_pylist()


@given(log=LOGS, t=SNAPSHOTS, data=st.data(), later_s=LATER_S)
@settings(deadline=None, max_examples=60)
def test_future_event_changes_no_row_up_to_the_snapshot(
    log: list[Event], t: float, data: st.DataObject, later_s: float
) -> None:
    """Feast joins a row at t to a request at t, so an event that becomes known at t must not count at t."""
    future = data.draw(events(at=st.just(t + later_s)))
    without, planted = tables(log), tables([*log, future])
    for view, table in without.items():
        assert until(planted[view], t).equals(until(table, t)), view


@given(log=LOGS, t=MIDNIGHTS, data=st.data(), second=st.integers(1, int(12 * HOUR_S)))
@settings(deadline=None, max_examples=40)
def test_past_event_changes_only_rows_of_its_user_post_and_creator(
    log: list[Event], t: float, data: st.DataObject, second: int
) -> None:
    past = data.draw(events(at=st.just(t - second)))
    without, planted = tables(log), tables([*log, past])
    for view, name, owner in (
        ("user_activity", "user_id", past.user),
        ("post_stats", "post_id", past.post),
        ("creator_stats", "creator_id", past.creator),
    ):
        before, after = ({row[name]: row for row in at(found[view], t)} for found in (without, planted))
        assert [key for key in after if after[key] != before.get(key)] == [owner], view
        if view == "user_activity" and owner in before:
            counts = ("counts_long", "counts_recent", "topic_counts")
            assert all(after[owner][kind] != before[owner][kind] for kind in counts)


@given(log=LOGS)
@settings(deadline=None, max_examples=20)
def test_blocks_of_users_have_the_rows_of_all_users_at_once(log: list[Event]) -> None:
    known, live = event_log(log), replace(TIMES, live=np.arange(START, END, 7000.0), live_s=7000.0)
    order = [("user_id", "ascending"), ("feature_ts", "ascending")]
    whole = pa.concat_tables(user_activity(known, CONFIG, live)).sort_by(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_tables, "USERS_AT_ONCE", 3)
        parts = list(user_activity(known, CONFIG, live))
    assert len(parts) >= 2 * len(TIMES.daily)
    assert pa.concat_tables(parts).sort_by(order) == whole


@given(t=st.sampled_from(TIMES.posts[1:-3].tolist()), second=st.integers(1, int(10 * HOUR_S)))
@settings(deadline=None, max_examples=20)
def test_click_raises_the_heat_of_its_post_in_its_region_once_known(t: float, second: int) -> None:
    click = Event(known_s=t - second, user=3, post=2, session=1, clicked=1, dwell_s=5)
    none, clicked = tables([])["post_stats"], tables([click])["post_stats"]
    for then in TIMES.posts.tolist():
        for cold, warm in zip(at(none, then), at(clicked, then), strict=True):
            hot = [region for region in range(REGIONS) if warm[f"heat_{region}"] > cold[f"heat_{region}"]]
            is_felt = warm["post_id"] == 2 and 0 < then - click.known_s <= 10 * FEATURES.heat_half_life_h * HOUR_S
            assert hot == ([int(REGION[3])] if is_felt else [])


@given(
    follows=st.lists(
        st.tuples(
            st.integers(0, USERS - 1), st.integers(0, CREATORS - 1), st.integers(-9, 3 * 86_400).map(START.__add__)
        ),
        max_size=8,
        unique_by=lambda follow: follow[:2],
    ),
    t=SNAPSHOTS,
    second=st.integers(1, int(DAY_S)),
)
@settings(deadline=None, max_examples=40)
def test_follow_changes_only_later_rows(follows: list[tuple[int, int, float]], t: float, second: int) -> None:
    others = [follow for follow in follows if follow[:2] != (1, 2)]
    without, planted = tables([], others), tables([], [*others, (1, 2, t + second)])
    for view, table in without.items():
        assert until(planted[view], t).equals(until(table, t)), view
    if t + second < END:
        assert planted["user_profile"] != without["user_profile"]
        assert planted["creator_stats"] != without["creator_stats"]


def test_profile_row_at_the_time_of_a_follow_excludes_the_follow() -> None:
    midnight = START + DAY_S
    found = tables([], [(1, 2, midnight)])["user_profile"]
    assert at(found, midnight) == []
    assert [row["follows"] for row in at(found, midnight + DAY_S)] == [[2]], "only the row of the following user"
    assert [row["follows"] for row in at(found, END)] == [[], [2], [], []]


@dataclass(frozen=True)
class Count:
    """Reference counts, computed event by event."""

    log: list[Event]

    def known(self, t: float, window_s: float = np.inf) -> Iterator[Event]:
        return (event for event in self.log if t - window_s <= event.known_s < t)

    def sums(self, t: float, window_s: float, key: str) -> dict[int, list[float]]:
        """Return the reactions by user, post or creator."""
        found: dict[int, list[float]] = {}
        for event in self.known(t, window_s):
            row = found.setdefault(getattr(event, key), [0.0] * len(REACTIONS))
            for kind, count in enumerate(event.counts):
                row[kind] += count
        return found

    def sessions(self, t: float, window_s: float) -> Counter[int]:
        return Counter(user for user, _ in {(event.user, event.session) for event in self.known(t, window_s)})

    def heat(self, t: float, post: int, region: int) -> float:
        half_s = FEATURES.heat_half_life_h * HOUR_S
        return sum(
            event.clicked * 0.5 ** ((t - event.known_s) / half_s)
            for event in self.known(t, 10 * half_s)
            if (event.post, REGION[event.user]) == (post, region)
        )


LONG_S, RECENT_S = FEATURES.window_days * DAY_S, FEATURES.recent_days * DAY_S
ZEROS = [0.0] * len(REACTIONS)


@given(log=LOGS)
@settings(deadline=None, max_examples=25)
def test_user_counts_match_a_recount(log: list[Event]) -> None:
    recount, table = Count(log), tables(log)["user_activity"]
    for t in TIMES.daily.tolist():
        rows, long, recent = at(table, t), recount.sums(t, LONG_S, "user"), recount.sums(t, RECENT_S, "user")
        assert [row["user_id"] for row in rows] == sorted(long)
        for row in rows:
            user = row["user_id"]
            assert len(row["counts_long"]) == len(COUNTS)
            assert row["counts_long"] == [*long[user], recount.sessions(t, LONG_S)[user]]
            assert row["counts_recent"] == [*recent.get(user, ZEROS), recount.sessions(t, RECENT_S)[user]]
            mine = [event for event in recount.known(t, LONG_S) if event.user == user]
            by_topic = np.zeros((len(TOPIC_COUNTS), TOPICS))
            by_creator = np.zeros((len(CREATOR_COUNTS), CREATORS))
            for event in mine:
                by_topic[:, event.topic] += [event.counts[REACTIONS.index(name)] for name in TOPIC_COUNTS]
                by_creator[:, event.creator] += [event.counts[REACTIONS.index(name)] for name in CREATOR_COUNTS]
            assert row["topic_counts"] == by_topic.ravel().tolist()
            best = sorted({event.creator for event in mine}, key=lambda c: (-by_creator[1, c], -by_creator[0, c], c))
            best = best[:SLOTS]
            assert row["creators"] == best + [-1] * (SLOTS - len(best))
            padded = np.zeros((len(CREATOR_COUNTS), SLOTS))
            padded[:, : len(best)] = by_creator[:, best]
            assert row["creator_counts"] == padded.ravel().tolist()


@given(log=LOGS)
@settings(deadline=None, max_examples=25)
def test_post_counts_match_a_recount(log: list[Event]) -> None:
    recount, table = Count(log), tables(log)["post_stats"]
    published, life_s = START + 60.0 * np.arange(POSTS), CONFIG.world.post_life_h * HOUR_S
    step_s = FEATURES.post_snapshot_h * HOUR_S
    for t in TIMES.posts.tolist():
        rows, ever = at(table, t), recount.sums(t, np.inf, "post")
        lately = recount.sums(t, step_s, "post")
        assert [row["post_id"] for row in rows] == [
            post for post in range(POSTS) if published[post] < t <= published[post] + life_s + step_s
        ]
        for row in rows:
            post = row["post_id"]
            assert [row[f"post_{name}"] for name in REACTIONS] == ever.get(post, ZEROS)
            recent = [row["post_impressions_recent"], row["post_clicks_recent"]]
            assert recent == lately.get(post, ZEROS)[:2]
            for region in range(REGIONS):
                assert row[f"heat_{region}"] == pytest.approx(recount.heat(t, post, region), rel=1e-5)


@given(log=LOGS)
@settings(deadline=None, max_examples=25)
def test_creator_counts_match_a_recount(log: list[Event]) -> None:
    follows = [(0, 1, START - 5.0), (2, 1, START + 90_000.0), (3, 0, START + 5.0)]
    recount, table = Count(log), tables(log, follows)["creator_stats"]
    for t in TIMES.daily.tolist():
        rows, long = at(table, t), recount.sums(t, LONG_S, "creator")
        lately = recount.sums(t, RECENT_S, "creator")
        assert [row["creator_id"] for row in rows] == list(range(CREATORS))
        for row in rows:
            creator = row["creator_id"]
            posts = [post for post in range(POSTS) if CREATOR[post] == creator and START + 60.0 * post < t]
            assert [row[f"creator_{name}"] for name in REACTIONS] == long.get(creator, ZEROS)
            recent = [row["creator_impressions_recent"], row["creator_clicks_recent"]]
            assert recent == lately.get(creator, ZEROS)[:2]
            assert row["creator_posts"] == len(posts)
            assert row["creator_followers"] == sum(c == creator and since < t for _, c, since in follows)
            assert row["creator_age_days"] == 30 + (t - START) / DAY_S
            quality = float(np.mean(posts) / 4) if posts else 0.0
            assert row["creator_quality_signal"] == pytest.approx(quality)


LIVE = replace(
    CONFIG,
    world=replace(CONFIG.world, post_life_h=80.0),
    features=replace(FEATURES, live_snapshot_s=600),
)


@given(log=st.lists(events(at=st.integers(-900, 2400).map(lambda second: END + second)), max_size=12))
@settings(deadline=None, max_examples=40)
def test_live_rows_are_those_of_users_posts_and_creators_with_new_events(log: list[Event]) -> None:
    """The values of such a row are those of a full snapshot at its time."""
    known, every, until = event_log(log), catalogue(), END + 2500.0
    times = SnapshotTimes.of(LIVE, until)
    assert times.live.tolist() == [END + 600, END + 1200, END + 1800, END + 2400]
    found = {
        "user": pa.concat_tables(user_activity(known, LIVE, times)),
        "post": pa.concat_tables(post_stats(known, every, LIVE, times)),
        "creator": pa.concat_tables(creator_stats(known, every, LIVE, times)),
    }
    for t in times.live.tolist():
        full = {
            "user": activity_at(known, LIVE, t),
            "post": post_stats_at(known, every, LIVE, t),
            "creator": creator_stats_at(known, every, LIVE, t),
        }
        for kind, table in found.items():
            changed = {getattr(event, kind) for event in log if t - 600 <= event.known_s < t}
            assert at(table, t) == [row for row in full[kind].to_pylist() if row[f"{kind}_id"] in changed]
    assert len(at(found["post"], until)) == POSTS


def test_live_times_that_are_full_snapshots_already_have_their_rows_once() -> None:
    times = SnapshotTimes.of(replace(LIVE, features=replace(LIVE.features, live_snapshot_s=21_600)), END + 2 * DAY_S)
    rows = pa.concat_tables(creator_stats(event_log([]), catalogue(), LIVE, times))
    assert set(Counter(rows["feature_ts"].to_pylist()).values()) == {CREATORS}


def write_world(path: Path, shown_s: list[float], label_s: list[float]) -> None:
    """A world of one user who clicks the posts 0, 1, … at `shown_s`; an ad stands before them."""
    known = catalogue()
    for name in ("people", "creators", "posts", "follows"):
        pq.write_table(pa.Table.from_pandas(getattr(known, name)), path / f"{name}.parquet")
    (path / "log" / "date=2026-01-05").mkdir(parents=True)
    post = np.arange(-1, len(shown_s))
    times = {"event_ts": [START, *shown_s], "label_ts": [START, *label_s]}
    log = {name: timestamps(np.array(values)) for name, values in times.items()}
    log |= {
        "user_id": np.full(len(post), 2),
        "post_id": post,
        "creator_id": np.where(post < 0, -1, CREATOR[post]),
        "session_id": np.full(len(post), 7),
        "clicked": post >= 0,
        "liked": np.zeros(len(post), bool),
        "commented": np.zeros(len(post), bool),
        "dwell_s": np.where(post < 0, 0, 4).astype(np.float32),
    }
    pq.write_table(pa.table(log), path / "log" / "date=2026-01-05" / "part-0.parquet")


def test_click_counts_from_its_label_time_and_not_its_event_time(tmp_path: Path) -> None:
    world, live, out = tmp_path / "world", tmp_path / "live", tmp_path / "out"
    for directory in (world, live, out):
        directory.mkdir()
    (live / "live.json").write_text(json.dumps({"events": 0, "posts": 0, "until": END}))
    midnight = START + DAY_S
    write_world(world, [midnight - 400, midnight - 100], [midnight - 220, midnight + 80])
    context = StepContext(
        design=tiny_design(),
        settings=Settings(home=tmp_path, preset="smoke"),
        config=CONFIG,
        out=out,
        inputs={"world": world, "live": live},
        report=lambda share, text: None,
    )
    rows = compute_tables(context)["rows"]
    views = ("user_profile", "user_activity", "post_content", "post_stats", "creator_stats")
    found = {view: pq.read_table(out / f"{view}.parquet") for view in views}
    assert rows == sum(len(table) for table in found.values())
    clicks = COUNTS.index("clicks")
    for t, expected in ((midnight, [1, 0]), (midnight + DAY_S, [1, 1])):
        assert [row["post_clicks"] for row in at(found["post_stats"], t)[:2]] == expected
        assert [row["creator_clicks"] for row in at(found["creator_stats"], t)[:2]] == expected
        assert [row["counts_long"][clicks] for row in at(found["user_activity"], t)] == [sum(expected)]
    assert [row[f"heat_{REGION[2]}"] > 0 for row in at(found["post_stats"], midnight)[:2]] == [True, False]


def test_event_log_excludes_ads_and_knows_topic_and_region(tmp_path: Path) -> None:
    write_world(tmp_path, [START + 10, START + 20, START + 30], [START + 190, START + 200, START + 210])
    log = EventLog.of(read_log(tmp_path, tmp_path / "none"), catalogue())
    made = event_log([Event(START + 190 + 10 * post, 2, post, 7, clicked=1, dwell_s=4) for post in range(3)])
    for name, values in made.columns().items():
        np.testing.assert_array_equal(getattr(log, name), values, err_msg=name)
    everything = slice(len(log))
    assert log.topic(everything).tolist() == TOPIC[:3].tolist()
    assert log.creator(everything).tolist() == CREATOR[:3].tolist()
    assert log.region(everything).tolist() == [REGION[2]] * 3


def test_table_that_comes_in_parts_is_written_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_tables, "GROUP_ROWS", 10)
    parts = [pa.table({"id": np.arange(first, last)}) for first, last in ((0, 0), (0, 4), (4, 4), (4, 13), (13, 15))]
    assert feature_tables.write_parts(tmp_path / "some.parquet", iter(parts)) == 15
    assert pq.read_table(tmp_path / "some.parquet") == pa.concat_tables(parts)
    assert pq.ParquetFile(tmp_path / "some.parquet").metadata.num_row_groups == 2
    assert feature_tables.write_parts(tmp_path / "none.parquet", iter(parts[:1])) == 0
    assert pq.read_table(tmp_path / "none.parquet").schema == parts[0].schema


def test_parts_of_users_without_events_have_the_columns_of_the_others() -> None:
    click = Event(known_s=START + 3_600, user=3, post=2, session=1, clicked=1, dwell_s=5)
    first, *others = user_activity(event_log([click]), CONFIG, TIMES)
    assert (len(first), max(map(len, others))) == (0, 1)
    assert {part.schema for part in others} == {first.schema}
