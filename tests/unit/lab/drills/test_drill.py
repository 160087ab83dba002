"""A drill judges what it measured, mends in any case, and can deviate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infra.evaluation.drill import BROKEN, RECOVERED, STEADY, Drill, Inject, Probe
from infra.evaluation.shares import Judgement
from lab.drills.cases import ALL, REGULARS, DrillCases
from lab.drills.cost import first_answers
from lab.drills.load import Sent
from lab.drills.run import DrillRun, judge, measured
from lab.load.machine import Conditions

HOLDS, BUSY = Judgement.HOLDS, Conditions(other_share=0.9, busy_time=0.9)

DRILL = Drill(
    name="toy",
    title="A toy",
    hypothesis="It holds.",
    method=Inject("feature_store", "down", service="redis"),
    steady=(Probe("success_share", 0.999, 1.0), Probe("p99_ms", 0.0, 200.0), Probe("degraded_share", 0.0, 0.01)),
    expect=(Probe("degraded_share", 0.99, 1.0), Probe("breaker_open_s", 0.0, 1.0)),
    recover=(Probe("recovery_s", 0.0, 5.0),),
)


def one(number: int, due_s: float, *, ms: float = 10.0, status: int = 200, degraded: tuple[str, ...] = ()) -> Sent:
    return Sent(number, due_s, ms, status, degraded, {"slate": [number]}, is_wrong=status not in (0, 200, 503))


def with_failures(status: int, count: int) -> list[Sent]:
    """As in `run`, but this many requests of the first phase end with `status`."""
    first = [one(n, n / 1000, status=status if n < count else 200) for n in range(1000)]
    return first + [one(n, n / 1000, degraded=("store",) if n < 2000 else ()) for n in range(1000, 3000)]


def steady_success(**changed: Any) -> Judgement:
    found = {(verdict.probe.figure, verdict.phase): verdict.judgement for verdict in judge(run(**changed))}
    return found["success_share", STEADY]


def run(**changed: Any) -> DrillRun:
    """1,000 requests a phase: well, degraded, well again."""
    sent = [one(n, n / 1000, degraded=("store",) if 1000 <= n < 2000 else ()) for n in range(3000)]
    phases = {STEADY: (0.0, 1.0), BROKEN: (1.0, 2.0), RECOVERED: (2.0, 3.0)}
    values: dict[str, Any] = {"sent": sent, "phases": phases, "breaker_open_s": 0.2, "recovery_s": 1.0}
    return DrillRun(DRILL, "embedded", "http://x", **(values | changed))


def test_a_drill_in_which_all_goes_as_planned_holds() -> None:
    found = run()
    found.verdicts = judge(found)
    assert found.holds
    assert [verdict.phase for verdict in found.verdicts] == [STEADY] * 3 + [BROKEN] * 2 + [RECOVERED] * 4


@pytest.mark.parametrize(
    ("changed", "figure", "phase"),
    [
        ({"breaker_open_s": None}, "breaker_open_s", BROKEN),
        ({"breaker_open_s": 1.5}, "breaker_open_s", BROKEN),
        ({"recovery_s": None}, "recovery_s", RECOVERED),
        ({"recovery_s": 5.1}, "recovery_s", RECOVERED),
        ({"sent": [one(n, n / 1000) for n in range(3000)]}, "degraded_share", BROKEN),
    ],
)
def test_each_deviation_is_found_and_no_other(changed: dict[str, Any], figure: str, phase: str) -> None:
    found = run(**changed)
    wrong = [(verdict.probe.figure, verdict.phase) for verdict in judge(found) if verdict.judgement is not HOLDS]
    assert wrong == [(figure, phase)]


def test_a_phase_without_answers_proves_nothing() -> None:
    found = run(phases={STEADY: (9.0, 9.5), BROKEN: (1.0, 2.0), RECOVERED: (2.0, 3.0)})
    assert all(verdict.judgement is Judgement.BROKEN for verdict in judge(found) if verdict.phase == STEADY)


def test_one_lost_request_more_or_less_decides_nothing() -> None:
    found = [steady_success(sent=with_failures(503, count)) for count in (0, 1, 3, 4)]
    assert found == [HOLDS, HOLDS, HOLDS, Judgement.BROKEN]


def test_too_few_requests_prove_nothing() -> None:
    found = run(sent=[one(n, n / 100, degraded=("store",) if 100 <= n < 200 else ()) for n in range(300)])
    found.verdicts = judge(found)
    assert found.judgement is Judgement.TOO_FEW
    assert not found.holds


@pytest.mark.parametrize(
    "changed",
    [{"breaker_open_s": 1.5}, {"recovery_s": 5.1}, {"sent": with_failures(503, 500)}, {"sent": with_failures(0, 500)}],
)
def test_what_breaks_on_a_busy_machine_is_inconclusive(changed: dict[str, Any]) -> None:
    found = run(conditions=BUSY, **changed)
    found.verdicts = judge(found)
    assert found.judgement is Judgement.INCONCLUSIVE


@pytest.mark.parametrize(
    "changed", [{"breaker_open_s": None}, {"recovery_s": None}, {"sent": with_failures(500, 5)}, {"aborted": "killed"}]
)
def test_a_busy_machine_excuses_neither_wrong_answers_nor_what_never_happened(changed: dict[str, Any]) -> None:
    found = run(conditions=BUSY, **changed)
    found.verdicts = judge(found)
    assert found.judgement is Judgement.BROKEN


def test_what_holds_on_a_busy_machine_holds() -> None:
    found = run(conditions=BUSY)
    found.verdicts = judge(found)
    assert found.holds


def test_a_drill_that_was_cut_short_does_not_hold() -> None:
    found = run(aborted="interrupted")
    found.verdicts = judge(found)
    assert not found.holds


def test_figures_are_those_of_the_requests_that_were_due_in_the_phase() -> None:
    sent = [one(n, n / 100, ms=500.0 if n == 50 else 10.0, status=503 if n == 60 else 200) for n in range(300)]
    found = run(sent=sent)
    assert measured(found, STEADY, "requests") == 100
    assert measured(found, STEADY, "success_share") == 0.99
    assert measured(found, BROKEN, "success_share") == 1.0
    assert 10 < (measured(found, STEADY, "p99_ms") or 0) <= 500
    assert measured(found, BROKEN, "p99_ms") == 10.0


def test_the_first_answer_for_each_case_counts_and_failures_do_not() -> None:
    sent = [one(0, 0.1, status=503), one(1, 0.15), one(2, 0.2), one(6, 0.3), one(8, 0.4)]
    found = first_answers(run(sent=sent), STEADY, DrillCases(range(3), rate_per_s=10))
    assert {index: answer.number for index, answer in found.items()} == {1: 2, 0: 6}


def test_half_come_again_and_half_come_once_also_if_the_next_drill_follows_at_once() -> None:
    rate, seconds = 40.0, 80
    first, second = (DrillCases(range(ALL), rate, now_s=1.8e9 + 17 + began) for began in (0, seconds + 1))
    numbers = range(int(rate * seconds))
    again, once = ([drill.of(number) for number in numbers[part::2]] for part, drill in ((0, first), (1, first)))
    assert set(again) == set(range(REGULARS)), "those who come again"
    assert min(again.count(case) for case in again) == len(again) // REGULARS
    assert len(set(once)) == len(once)
    assert not set(once) & set(again)
    assert not set(once) & {second.of(number) for number in numbers[1::2]}
    assert [first.regular(number) for number in numbers] == [
        None if number % 2 else first.of(number) for number in numbers
    ]


def test_where_a_world_has_too_few_people_all_come_again() -> None:
    few = DrillCases(np.arange(3), rate_per_s=40.0)
    assert {few.of(number) for number in range(20)} == {0, 1, 2}
