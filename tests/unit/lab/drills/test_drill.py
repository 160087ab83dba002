"""A drill compares its measurements with its expectations and reports each deviation."""

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
    """Requests as in `run`, but `count` requests of the first phase end with `status`."""
    first = [one(n, n / 1000, status=status if n < count else 200) for n in range(1000)]
    return first + [one(n, n / 1000, degraded=("store",) if n < 2000 else ()) for n in range(1000, 3000)]


def steady_success(**changed: Any) -> Judgement:
    found = {(verdict.probe.figure, verdict.phase): verdict.judgement for verdict in judge(run(**changed))}
    return found["success_share", STEADY]


def run(**changed: Any) -> DrillRun:
    """A run with 1,000 requests per phase: healthy, degraded, recovered."""
    sent = [one(n, n / 1000, degraded=("store",) if 1000 <= n < 2000 else ()) for n in range(3000)]
    phases = {STEADY: (0.0, 1.0), BROKEN: (1.0, 2.0), RECOVERED: (2.0, 3.0)}
    values: dict[str, Any] = {"sent": sent, "phases": phases, "breaker_open_s": 0.2, "recovery_s": 1.0}
    return DrillRun(DRILL, "embedded", "http://x", **(values | changed))


def test_drill_holds_when_every_phase_meets_its_expectations() -> None:
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
def test_drill_reports_exactly_the_deviating_figure(changed: dict[str, Any], figure: str, phase: str) -> None:
    found = run(**changed)
    wrong = [(verdict.probe.figure, verdict.phase) for verdict in judge(found) if verdict.judgement is not HOLDS]
    assert wrong == [(figure, phase)]


def test_phase_without_responses_does_not_hold() -> None:
    found = run(phases={STEADY: (9.0, 9.5), BROKEN: (1.0, 2.0), RECOVERED: (2.0, 3.0)})
    assert all(verdict.judgement is Judgement.BROKEN for verdict in judge(found) if verdict.phase == STEADY)


def test_single_failures_do_not_break_the_success_share() -> None:
    found = [steady_success(sent=with_failures(503, count)) for count in (0, 1, 3, 4)]
    assert found == [HOLDS, HOLDS, HOLDS, Judgement.BROKEN]


def test_too_few_requests_are_not_conclusive() -> None:
    found = run(sent=[one(n, n / 100, degraded=("store",) if 100 <= n < 200 else ()) for n in range(300)])
    found.verdicts = judge(found)
    assert found.judgement is Judgement.TOO_FEW
    assert not found.holds


@pytest.mark.parametrize(
    "changed",
    [{"breaker_open_s": 1.5}, {"recovery_s": 5.1}, {"sent": with_failures(503, 500)}, {"sent": with_failures(0, 500)}],
)
def test_broken_limit_on_a_busy_machine_is_inconclusive(changed: dict[str, Any]) -> None:
    found = run(conditions=BUSY, **changed)
    found.verdicts = judge(found)
    assert found.judgement is Judgement.INCONCLUSIVE


@pytest.mark.parametrize(
    "changed", [{"breaker_open_s": None}, {"recovery_s": None}, {"sent": with_failures(500, 5)}, {"aborted": "killed"}]
)
def test_busy_machine_does_not_excuse_wrong_answers_or_missing_events(changed: dict[str, Any]) -> None:
    found = run(conditions=BUSY, **changed)
    found.verdicts = judge(found)
    assert found.judgement is Judgement.BROKEN


def test_drill_can_hold_on_a_busy_machine() -> None:
    found = run(conditions=BUSY)
    found.verdicts = judge(found)
    assert found.holds


def test_aborted_drill_does_not_hold() -> None:
    found = run(aborted="interrupted")
    found.verdicts = judge(found)
    assert not found.holds


def test_figures_cover_the_requests_due_in_the_phase() -> None:
    sent = [one(n, n / 100, ms=500.0 if n == 50 else 10.0, status=503 if n == 60 else 200) for n in range(300)]
    found = run(sent=sent)
    assert measured(found, STEADY, "requests") == 100
    assert measured(found, STEADY, "success_share") == 0.99
    assert measured(found, BROKEN, "success_share") == 1.0
    assert 10 < (measured(found, STEADY, "p99_ms") or 0) <= 500
    assert measured(found, BROKEN, "p99_ms") == 10.0


def test_first_answers_are_the_first_successful_responses_per_case() -> None:
    sent = [one(0, 0.1, status=503), one(1, 0.15), one(2, 0.2), one(6, 0.3), one(8, 0.4)]
    found = first_answers(run(sent=sent), STEADY, DrillCases(range(3), rate_per_s=10))
    assert {index: answer.number for index, answer in found.items()} == {1: 2, 0: 6}


def test_drill_cases_mix_returning_and_one_time_users_across_drills() -> None:
    rate, seconds = 40.0, 80
    first, second = (DrillCases(range(ALL), rate, now_s=1.8e9 + 17 + began) for began in (0, seconds + 1))
    numbers = range(int(rate * seconds))
    again, once = ([drill.of(number) for number in numbers[part::2]] for part, drill in ((0, first), (1, first)))
    assert set(again) == set(range(REGULARS)), "returning users"
    assert min(again.count(case) for case in again) == len(again) // REGULARS
    assert len(set(once)) == len(once)
    assert not set(once) & set(again)
    assert not set(once) & {second.of(number) for number in numbers[1::2]}
    assert [first.regular(number) for number in numbers] == [
        None if number % 2 else first.of(number) for number in numbers
    ]


def test_drill_cases_of_a_small_world_are_all_returning_users() -> None:
    few = DrillCases(np.arange(3), rate_per_s=40.0)
    assert {few.of(number) for number in range(20)} == {0, 1, 2}
