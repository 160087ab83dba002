"""The growing log of the worker equals the log that a build reads from the same events in any order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctr_prediction.config import SMOKE
from ctr_prediction.events.history import EventLog, with_clicks
from ctr_prediction.events.schemas import Click, Impression
from ctr_prediction.events.tables import click_rows, shown_rows
from ctr_prediction.features.aggregates import activity_at, exposure_at, spent_at
from ctr_prediction.features.user_row import user_now
from ctr_prediction.worker import append_log
from ctr_prediction.worker.append_log import GrowingLog
from ctr_prediction.worker.refresh import rows_for_store, touched
from tests.support.ctr_events import ADS, START, USERS, catalogue, click, impression

CATALOGUE = catalogue()
HISTORY = [impression(number, ad_id=number % ADS, seen_ts=START - 100 + number) for number in range(20)]


def at_once(shown: list[Impression], clicks: list[Click]) -> EventLog:
    """Return the log as a build reads it."""
    return EventLog.of(with_clicks(shown_rows(shown), click_rows(clicks) if clicks else None), CATALOGUE)


def grown(events: list[list[Impression | Click]], history: list[Impression]) -> GrowingLog:
    log = GrowingLog(at_once(history, []), CATALOGUE)
    for batch in events:
        log.add(shown_rows([event for event in batch if isinstance(event, Impression)]))
        log.click(click_rows([event for event in batch if isinstance(event, Click)]))
    return log


def assert_same(left: EventLog, right: EventLog) -> None:
    for item in dataclasses.fields(EventLog):
        np.testing.assert_array_equal(getattr(left, item.name), getattr(right, item.name), err_msg=item.name)


@st.composite
def event_streams(draw: st.DrawFn) -> tuple[list[Impression], list[Click], list[list[Impression | Click]]]:
    """Impressions (some duplicated, some of unknown users and ads) and clicks on some, batched in any order."""
    shown = [
        impression(
            100 + number,
            slot=draw(st.integers(0, 3)),
            user_id=draw(st.integers(0, USERS)),
            ad_id=draw(st.integers(0, ADS)),
            seen_ts=START + draw(st.integers(0, 6)),
        )
        for number in range(draw(st.integers(0, 10)))
    ]
    clicked = draw(st.lists(st.sampled_from(shown), max_size=8)) if shown else []
    clicks = [click(one.auction_id, one.slot, START + draw(st.integers(0, 9))) for one in clicked]
    clicks += [click(999, label_ts=START + 1)]
    delivered: list[Impression | Click] = [*shown, *shown[:3], *clicks, *clicks[:2]]
    delivered = draw(st.permutations(delivered))
    cuts = sorted(draw(st.lists(st.integers(0, len(delivered)), max_size=4)))
    return (
        shown,
        clicks,
        [delivered[low:high] for low, high in zip([0, *cuts], [*cuts, len(delivered)], strict=True)],
    )


@given(event_streams())
def test_append_log_equals_a_log_built_at_once_in_any_order(
    streams: tuple[list[Impression], list[Click], list[list[Impression | Click]]],
) -> None:
    shown, clicks, delivered = streams
    assert_same(grown(delivered, HISTORY).log, at_once([*HISTORY, *shown], clicks))


def test_click_waits_for_its_impression_and_counts_once_both_are_known() -> None:
    log = grown([[click(100, label_ts=START + 3)], [impression(100, seen_ts=START + 5)]], HISTORY)
    config = SMOKE
    before, after = (activity_at(log.log, config, START + t, np.array([1])).to_pandas() for t in (5, 5.5))
    assert (before["clicks"].item(), after["clicks"].item()) == (0, 1)
    assert log.log.label_s[-1] == START + 5


def test_earliest_click_report_counts() -> None:
    log = grown([[impression(100), click(100, label_ts=START + 9)], [click(100, label_ts=START + 4)]], HISTORY)
    log.click(click_rows([click(100, label_ts=START + 30)]))
    assert log.log.label_s[-1] == START + 4


def test_log_drops_the_oldest_clicks_without_an_impression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_log, "MOST_WAITING", 2)
    log = grown([[click(number) for number in (100, 101, 102)]], HISTORY)
    log.add(shown_rows([impression(number) for number in (100, 101, 102)]))
    clicked = log.log.number[log.log.clicked]
    assert clicked.tolist() == [impression(101).number, impression(102).number]


def test_log_returns_the_users_of_new_events_and_their_effective_times() -> None:
    log = GrowingLog(at_once(HISTORY, []), CATALOGUE)
    waits = log.click(click_rows([click(100, label_ts=START + 3)]))
    touched_by_add = log.add(
        shown_rows([impression(100, user_id=4, seen_ts=START + 5), impression(101, user_id=USERS)])
    )
    again = log.add(shown_rows([impression(100, user_id=4, seen_ts=START + 5)]))
    assert (len(waits.user), len(again.user)) == (0, 0)
    assert sorted(zip(touched_by_add.user.tolist(), touched_by_add.at_s.tolist(), strict=True)) == [
        (4, START + 5),
        (4, START + 5),
    ]


def test_touched_users_include_users_with_late_clicks() -> None:
    shown = [impression(100, user_id=2, seen_ts=START + 2), impression(101, user_id=3, seen_ts=START + 7)]
    log = at_once([*HISTORY, *shown], [click(100, label_ts=START + 3600)])
    assert touched(log, START, START + 5).tolist() == [2]
    assert touched(log, START + 5, START + 3600).tolist() == [3]
    assert touched(log, START + 3600, START + 3601).tolist() == [2], "the click is reported an hour later"


def test_user_rows_match_the_offline_counts() -> None:
    shown = [impression(100 + n, user_id=n % USERS, ad_id=n % ADS, seen_ts=START + n) for n in range(30)]
    log = at_once(shown, [click(100 + n, label_ts=START + n + 5) for n in range(0, 30, 4)])
    users, t = np.array([2, 5]), START + 20
    rows = rows_for_store(log, CATALOGUE, SMOKE, t, users)
    everyone = user_now(log, CATALOGUE, SMOKE, t, np.arange(USERS)).to_pandas()
    wanted = everyone.rename(columns={"feature_ts": "event_ts"}).iloc[users].reset_index(drop=True)
    assert rows.columns.tolist() == wanted.columns.tolist()
    for name in wanted:
        for one, two in zip(rows[name], wanted[name], strict=True):
            np.testing.assert_array_equal(one, two)


def test_user_row_has_own_counts_and_zeros_without_events() -> None:
    log = at_once([impression(100 + n, user_id=2, ad_id=n % 2, seen_ts=START + n) for n in range(5)], [click(100)])
    t = START + 3600
    rows = {row["user_id"]: row for row in user_now(log, CATALOGUE, SMOKE, t, np.arange(USERS)).to_pylist()}
    (counts,), (seen,) = (table(log, SMOKE, t).to_pylist() for table in (activity_at, exposure_at))
    assert {**counts, **seen}.items() <= rows[2].items()
    assert (counts["shown"][0], counts["clicks"], len(seen["seen_ads"])) == (5.0, 1.0, 2)
    assert (rows[3]["shown"], rows[3]["clicks"], rows[3]["seen_ads"]) == ([0.0] * 4, 0.0, [])
    assert {rows[3][name] for name in ("segment", "age", "gender")} == set(
        CATALOGUE.people.loc[3, ["segment", "age", "gender"]].tolist()
    )


def test_spend_counts_reported_clicks_and_resets_at_midnight() -> None:
    log = at_once([impression(100, price=0.25)], [click(100, label_ts=START + 60)])
    assert [spent_at(log, CATALOGUE, START + t)[2] for t in (60, 61, 86_399, 86_400)] == [0, 0.25, 0.25, 0]
