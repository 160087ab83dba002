"""Expressions evaluate over samples as Prometheus evaluates their text, and samples keep totals over long windows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.telemetry.alerts.expressions import Absolute, Clock, Expression, Increase, Latest, Number, Time, duration
from infra.telemetry.alerts.samples import Samples, Selection

REAL = Clock()
FEED, ADS = frozenset({("design", "feed")}), frozenset({("design", "ads")})
BAD, ALL = Selection.of("lab_x_total", outcome=("failed", "shed")), Selection("lab_x_total")


def scraped(expression: Expression, rounds: Sequence[dict[str, str | None]], every_s: float = 30.0) -> Samples:
    """Samples after these rounds; a round is target -> its text."""
    samples = Samples(expression.selections())
    for place, texts in enumerate(rounds):
        for target, text in texts.items():
            samples.add({"design": target, "instance": target}, text, 1000 + place * every_s)
    return samples


def counts(ok: int, failed: int) -> str:
    return f'lab_x_total{{outcome="ok"}} {ok}\nlab_x_total{{outcome="failed"}} {failed}\nlab_other 7\n'


SHARE = Increase(BAD, 300) / Increase(ALL, 300).above(0)


def test_share_is_computed_by_design_and_absent_without_requests() -> None:
    rounds: list[dict[str, str | None]] = [{"feed": counts(10 * n, n), "ads": counts(5, 5)} for n in range(5)]
    assert SHARE.value(scraped(SHARE, rounds), REAL) == pytest.approx({FEED: 1 / 11})


def test_text_is_promql_with_the_windows_of_the_clock() -> None:
    bad, every = 'lab_x_total{outcome=~"failed|shed"}', "lab_x_total"
    for clock, window in ((REAL, "5m"), (Clock(10), "30s"), (Clock(30), "15s"), (Clock(30, 0.5), "10s")):
        expected = f"sum by (design) (increase({bad}[{window}])) / (sum by (design) (increase({every}[{window}])) > 0)"
        assert SHARE.text(clock) == expected


def test_counter_that_restarts_continues_from_its_total() -> None:
    rounds: list[dict[str, str | None]] = [{"feed": counts(n, 0)} for n in (100, 160, 5, 25)]
    increase = Increase(ALL, 300)
    assert increase.value(scraped(increase, rounds), REAL) == {FEED: 60 + 5 + 20}


@given(steps=st.lists(st.integers(0, 50), min_size=30, max_size=60), minutes=st.sampled_from([11, 15, 29]))
def test_increase_over_minutes_equals_the_sum_of_the_steps(steps: list[int], minutes: int) -> None:
    """One sample a minute: beyond ten minutes only the coarse points are left."""
    increase, total, rounds = Increase(ALL, minutes * 60), 0, []
    for step in steps:
        total += step
        rounds.append({"feed": counts(total, 0)})
    found = increase.value(scraped(increase, rounds, 60.0), REAL)
    assert found == {FEED: sum(steps[-minutes + 1 :])}


def test_gauge_of_a_target_that_stopped_answering_is_not_the_latest_value() -> None:
    gauge = Latest(Selection("lab_age"))
    assert gauge.value(scraped(gauge, [{"feed": "lab_age 3", "ads": "lab_age 9"}]), REAL) == {FEED: 3.0, ADS: 9.0}
    later = scraped(gauge, [{"feed": "lab_age 3", "ads": "lab_age 9"}, {"feed": "lab_age 4", "ads": None}])
    assert gauge.value(later, REAL) == {FEED: 4.0}


def test_target_is_up_only_while_it_answers() -> None:
    down = Latest(Selection("up"), None).equals(0)
    samples = scraped(down, [{"feed": "", "ads": None}])
    assert down.value(samples, REAL) == {frozenset({("design", "ads"), ("instance", "ads")}): 0.0}


def test_all_designs_together_have_one_value() -> None:
    best = Latest(Selection("lab_up"), ()).equals(0)
    assert best.value(scraped(best, [{"feed": "lab_up 0", "ads": "lab_up 1"}]), REAL) == {}
    assert best.value(scraped(best, [{"feed": "lab_up 0", "ads": "lab_up 0"}]), REAL) == {frozenset(): 0.0}


def test_age_counts_from_the_time_of_the_newest_scrape_and_needs_a_time_that_is_set() -> None:
    released = Latest(Selection("lab_released"))
    old = (Time() - released).above(100).when(released.above(0))
    samples = scraped(old, [{"feed": "lab_released 850", "ads": "lab_released 0"}])
    assert old.value(samples, REAL) == {FEED: 150.0}
    assert old.text(REAL) == ("time() - max by (design) (lab_released) > 100 and max by (design) (lab_released) > 0")


def test_parentheses_keep_the_order_of_evaluation() -> None:
    one = Latest(Selection("a"))
    assert Absolute(one / one.at_least(3) - Number(0.5)).above(0.1).text(REAL) == (
        "abs(max by (design) (a) / (max by (design) (a) >= 3) - 0.5) > 0.1"
    )


@pytest.mark.parametrize(("seconds", "text"), [(0.3, "1s"), (90, "90s"), (300, "5m"), (7200, "2h"), (86400, "1d")])
def test_durations_are_whole_numbers_of_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
