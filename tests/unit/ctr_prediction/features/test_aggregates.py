"""Aggregates at a time include only events known before it, compared with an event-by-event count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctr_prediction.config import SMOKE
from ctr_prediction.domain import SLOTS, Ints
from ctr_prediction.events.history import EventLog, with_clicks
from ctr_prediction.events.tables import click_rows, shown_rows
from ctr_prediction.features.aggregates import (
    activity_at,
    ad_stats_at,
    campaigns_of,
    exposure_at,
    seen_of,
    spent_at,
)
from ctr_prediction.features.views import counts_from_frame, default_user, user_from_row, users_from_frame
from infra.columns import DAY_S, HOUR_S
from infra.feature_store.port import FeatureRow
from tests.support.ctr_events import ADS, CAMPAIGNS, START, USERS, catalogue, click, impression

CATALOGUE = catalogue()
CONFIG = replace(SMOKE, features=replace(SMOKE.features, window_days=2, exposures=3))
WINDOW_S = 2 * DAY_S


@dataclass(frozen=True)
class Shown:
    """One impression, `at_h` after `START`; clicked if it was `reported_h` later."""

    user: int
    ad: int
    slot: int
    at_h: int
    reported_h: int | None = None
    price: float = 0.5

    @property
    def at_s(self) -> float:
        return START + self.at_h * HOUR_S

    @property
    def label_s(self) -> float:
        return float("inf") if self.reported_h is None else self.at_s + self.reported_h * HOUR_S


def table_of(shown: list[Shown]) -> pa.Table:
    """Build the table from the events that a service writes."""
    impressions = [
        impression(number, one.slot, user_id=one.user, ad_id=one.ad, price=one.price, seen_ts=one.at_s)
        for number, one in enumerate(shown)
    ]
    clicks = [
        click(number, one.slot, label_ts=one.label_s) for number, one in enumerate(shown) if one.reported_h is not None
    ]
    return with_clicks(shown_rows(impressions), click_rows(clicks) if clicks else None)


def log_of(shown: list[Shown]) -> EventLog:
    return EventLog.of(table_of(shown), CATALOGUE)


# whole hours, so that events often coincide and fall on the edges of windows
LOGS = st.lists(
    st.builds(
        Shown,
        st.integers(0, USERS - 1),
        st.integers(0, ADS - 1),
        st.integers(0, SLOTS - 1),
        st.integers(0, 80),
        st.none() | st.integers(0, 30),
        st.sampled_from([0.25, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=25,
)
TIMES = st.integers(0, 110).map(lambda hours: START + hours * HOUR_S)


def is_in(at_s: float, t: float, window_s: float = WINDOW_S) -> bool:
    return t - window_s <= at_s < t


@given(LOGS, TIMES)
@settings(deadline=None, max_examples=80)
def test_user_counts_match_a_count_event_by_event(shown: list[Shown], t: float) -> None:
    looks, clicks = Counter[tuple[int, int]](), Counter[int]()
    for one in shown:
        looks[one.user, one.slot] += is_in(one.at_s, t)
        clicks[one.user] += is_in(one.label_s, t)
    rows = {row["user_id"]: row for row in activity_at(log_of(shown), CONFIG, t).to_pylist()}
    for user in range(USERS):
        expected = [float(looks[user, slot]) for slot in range(SLOTS)]
        if any(one.user == user and one.at_s < t for one in shown):
            assert (rows[user]["shown"], rows[user]["clicks"]) == (expected, clicks[user])
            assert rows[user]["feature_ts"].timestamp() == t
        else:
            assert user not in rows, "users without events have no row"


@given(LOGS, TIMES)
@settings(deadline=None, max_examples=80)
def test_ad_and_campaign_counts_match_a_count_event_by_event(shown: list[Shown], t: float) -> None:
    looks, clicks = np.zeros((ADS, SLOTS)), np.zeros(ADS)
    for one in shown:
        looks[one.ad, one.slot] += is_in(one.at_s, t)
        clicks[one.ad] += is_in(one.label_s, t)
    log, of = log_of(shown), np.arange(ADS) % CAMPAIGNS
    found = ad_stats_at(log, CATALOGUE, CONFIG, t)
    np.testing.assert_array_equal(found[0], looks)
    np.testing.assert_array_equal(found[1], clicks)
    found = campaigns_of(found, CATALOGUE)
    np.testing.assert_array_equal(found[0], [looks[of == one].sum(axis=0) for one in range(CAMPAIGNS)])
    np.testing.assert_array_equal(found[1], [clicks[of == one].sum() for one in range(CAMPAIGNS)])


@given(LOGS, TIMES)
@settings(deadline=None, max_examples=80)
def test_exposures_count_the_latest_ads_in_total_and_for_the_last_day(shown: list[Shown], t: float) -> None:
    found = {row["user_id"]: row for row in exposure_at(log_of(shown), CONFIG, t).to_pylist()}
    for user in range(USERS):
        mine = sorted((one for one in shown if one.user == user and one.at_s < t), key=lambda one: one.at_h)
        last = {one.ad: one.at_h for one in mine}
        if not mine:
            assert user not in found
            continue
        row = found[user]
        assert len(row["seen_ads"]) == min(len(last), CONFIG.features.exposures)
        oldest_kept = min(last[ad] for ad in row["seen_ads"])
        assert all(at_h <= oldest_kept for ad, at_h in last.items() if ad not in row["seen_ads"])
        for ad, ever, today in zip(row["seen_ads"], row["seen_counts"], row["seen_today"], strict=True):
            assert ever == sum(one.ad == ad for one in mine)
            assert today == sum(one.ad == ad and is_in(one.at_s, t, DAY_S) for one in mine)


@given(LOGS, TIMES)
@settings(deadline=None, max_examples=60)
def test_spend_is_booked_on_the_day_of_the_click_report(shown: list[Shown], t: float) -> None:
    spent, midnight = np.zeros(CAMPAIGNS), t - t % DAY_S
    for one in shown:
        spent[one.ad % CAMPAIGNS] += one.price * (midnight <= one.label_s < t)
    np.testing.assert_allclose(spent_at(log_of(shown), CATALOGUE, t), spent, rtol=1e-6)


@given(LOGS, TIMES, st.sets(st.integers(0, USERS - 1), min_size=1))
@settings(deadline=None, max_examples=60)
def test_counts_of_some_users_equal_their_rows_in_the_full_count(shown: list[Shown], t: float, some: set[int]) -> None:
    log, users = log_of(shown), np.array(sorted(some))
    for count in (activity_at, exposure_at):
        everyone, alone = (count(log, CONFIG, t, of).to_pylist() for of in (None, users))
        assert alone == [row for row in everyone if row["user_id"] in some]


@given(LOGS, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_event_log_does_not_depend_on_row_order(shown: list[Shown], seed: int) -> None:
    table, order = table_of(shown), np.random.default_rng(seed).permutation(len(shown))
    one, other = EventLog.of(table, CATALOGUE), EventLog.of(table.take(order), CATALOGUE)
    for name in EventLog.__annotations__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_late_click_counts_from_its_report_time() -> None:
    """User 1 clicks an ad at 10:00; the click is reported at 16:00."""
    log = log_of([Shown(1, 5, 0, 10, reported_h=6), Shown(1, 6, 1, 11)])
    before, at, after, gone = (START + hours * HOUR_S for hours in (15.999, 16, 16.001, 16 + 48 + 0.001))

    def clicks(t: float) -> tuple[float, float, float, float]:
        rows = [row for row in activity_at(log, CONFIG, t).to_pylist() if row["user_id"] == 1]
        of_user = rows[0]["clicks"] if rows else 0.0
        of_ads = ad_stats_at(log, CATALOGUE, CONFIG, t)
        of_campaigns = campaigns_of(of_ads, CATALOGUE)
        return (
            of_user,
            float(of_ads[1][5]),
            float(of_campaigns[1][5 % CAMPAIGNS]),
            float(spent_at(log, CATALOGUE, t)[2]),
        )

    assert clicks(before) == (0, 0, 0, 0)
    assert clicks(at) == (0, 0, 0, 0), "an event at t is not known at t"
    assert clicks(after) == (1, 1, 1, 0.5)
    assert clicks(gone) == (0, 0, 0, 0)
    shown_then = ad_stats_at(log, CATALOGUE, CONFIG, before)[0]
    assert (shown_then[5, 0], shown_then[6, 1]) == (1, 1), "impressions count before the click is reported"
    assert ad_stats_at(log, CATALOGUE, CONFIG, START + 59 * HOUR_S)[0][5, 0] == 0, "the impression is too old"
    assert ad_stats_at(log, CATALOGUE, CONFIG, START + 59 * HOUR_S)[1][5] == 1, "its click is not"


def test_click_reported_before_its_impression_counts_from_the_impression() -> None:
    shown = [impression(1, 0, seen_ts=START + 60.0)]
    log = EventLog.of(with_clicks(shown_rows(shown), click_rows([click(1, label_ts=START + 20.0)])), CATALOGUE)
    assert log.label_s.tolist() == [START + 60.0]


def test_impressions_of_an_unknown_user_ad_or_slot_are_skipped() -> None:
    odd = [Shown(USERS, 1, 0, 1), Shown(-1, 1, 0, 1), Shown(1, ADS, 0, 1), Shown(1, 1, SLOTS, 1), Shown(2, 3, 1, 1)]
    log = log_of(odd)
    assert (log.user.tolist(), log.ad.tolist()) == ([2], [3])


@given(
    st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 9)), st.integers(1, 9), max_size=12),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), min_size=1, max_size=12),
)
@settings(deadline=None, max_examples=100)
def test_seen_of_looks_up_exposure_counts_of_pairs(
    known: dict[tuple[int, int], int], wanted: list[tuple[int, int]]
) -> None:
    def column(values: list[int]) -> Ints:
        return np.array(values, np.int64)

    exposed = (column([u for u, _ in known]), column([a for _, a in known]), column(list(known.values())))
    found = seen_of(column([u for u, _ in wanted]), column([a for _, a in wanted]), exposed)
    assert found.tolist() == [known.get(pair, 0) for pair in wanted]


def test_user_from_row_fills_missing_values_with_defaults() -> None:
    default = default_user(3)
    shown, empty = np.arange(1, 5, dtype=np.float32), np.zeros(0, np.int64)
    row = FeatureRow({"segment": 1, "age": None, "shown": shown, "clicks": 2.0, "audience": empty}, None)
    user = user_from_row(row, default)
    assert (user.segment.tolist(), user.age.tolist(), user.clicks.tolist()) == ([1], [2], [2.0])
    assert (user.shown.tolist(), user.audience.tolist()) == ([[1, 2, 3, 4]], [[-1]])
    assert (user.seen_ads.tolist(), user.seen_counts.tolist()) == ([[-1]], [[0]])
    for name, like in vars(default).items():
        assert getattr(user, name).dtype == like.dtype


def test_users_from_frame_pads_lists_and_fills_defaults() -> None:
    frame = pd.DataFrame(
        {
            "segment": [4, np.nan],
            "audience": [[5, 6], None],
            "shown": [np.array([1.0, 0, 0, 0]), np.nan],
            "clicks": [np.nan, 3.0],
            "seen_ads": [[2], [1, 8]],
            "seen_counts": [[3], [1, 1]],
            "ad_shown": [None, np.array([0, 1.0, 2.0, 3.0])],
            "ad_clicks": [np.nan, 2.0],
        }
    )
    users = users_from_frame(frame, default_user(0))
    assert users.segment.tolist() == [4, 0]
    assert users.audience.tolist() == [[5, 6], [-1, -1]]
    assert users.shown.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert users.clicks.tolist() == [0, 3]
    assert users.seen_ads.tolist() == [[2, -1], [1, 8]]
    assert users.seen_counts.tolist() == [[3, 0], [1, 1]]
    assert users.gender.tolist() == [0, 0], "a column that was not joined"
    shown, clicks = counts_from_frame(frame, "ad")
    assert (shown.tolist(), clicks.tolist()) == ([[0, 0, 0, 0], [0, 1, 2, 3]], [0, 2])


def test_window_has_the_configured_length() -> None:
    log = log_of([Shown(0, 0, 0, 0)])
    for days, counted in ((1, 0.0), (3, 1.0)):
        config = replace(CONFIG, features=replace(CONFIG.features, window_days=days))
        assert ad_stats_at(log, CATALOGUE, config, START + 2 * DAY_S)[0][0, 0] == pytest.approx(counted)
