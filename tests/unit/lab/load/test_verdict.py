"""A load run is compared with its budgets; a busy machine excuses slow answers but not wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from infra.errors import BudgetBroken, Inconclusive
from infra.evaluation.shares import Judgement
from lab.commands.options import enforce_judgements
from lab.load.machine import Conditions
from lab.load.verdict import Overload, judge

QUIET, BUSY = Conditions(0.0, 0.0), Conditions(0.9, 0.9)
BUDGETS: list[dict[str, Any]] = [
    {"name": "p99_ms", "limit": 200.0, "unit": "ms", "kind": "at_most"},
    {"name": "success_share", "limit": 0.999, "unit": "", "kind": "at_least"},
    {"name": "degraded_share", "limit": 0.01, "unit": "", "kind": "at_most"},
    {"name": "log_loss", "limit": 1.0, "unit": "", "kind": "at_most"},
]


def figures(**changed: float) -> dict[str, Any]:
    counts = {"shed": 0, "unanswered": 0, "wrong": 0} | changed
    failed = counts["shed"] + counts["unanswered"] + counts["wrong"]
    usual: dict[str, Any] = {"requests": 1200, "ok": 1200 - failed, "degraded": 0, "p99_ms": 90.0, "p50_ms": 20.0}
    return usual | counts


def verdict(conditions: Conditions = QUIET, **changed: float) -> dict[str, Judgement]:
    return {row.budget: row.judgement for row in judge(figures(**changed), BUDGETS, conditions)}


def broken(**changed: float) -> set[str]:
    return {name for name, found in verdict(**changed).items() if found is Judgement.BROKEN}


def test_good_run_holds_every_measured_budget() -> None:
    assert verdict() == dict.fromkeys(("p99_ms", "success_share", "degraded_share"), Judgement.HOLDS)


@pytest.mark.parametrize(
    ("changed", "budget"),
    [
        ({"p99_ms": 200.1}, "p99_ms"),
        ({"shed": 5}, "success_share"),
        ({"unanswered": 5}, "success_share"),
        ({"wrong": 5}, "success_share"),
        ({"degraded": 30}, "degraded_share"),
    ],
)
def test_each_budget_can_break_alone(changed: dict[str, float], budget: str) -> None:
    assert broken(**changed) == {budget}


def test_single_failures_do_not_break_a_budget() -> None:
    assert not broken(shed=1)
    assert not broken(shed=2)
    assert not broken(p99_ms=200.0)


@pytest.mark.parametrize("changed", [{"p99_ms": 900.0}, {"shed": 600}, {"unanswered": 600}, {"degraded": 600}])
def test_broken_budget_on_a_busy_machine_is_inconclusive(changed: dict[str, float]) -> None:
    found = verdict(BUSY, **changed)
    assert Judgement.BROKEN not in found.values()
    assert Judgement.of_all(found.values()) is Judgement.INCONCLUSIVE


def test_budgets_can_hold_on_a_busy_machine() -> None:
    assert verdict(BUSY) == verdict(QUIET)


def test_wrong_answers_are_broken_on_any_machine() -> None:
    assert verdict(BUSY, wrong=5)["success_share"] is Judgement.BROKEN
    assert verdict(BUSY, wrong=1, shed=100)["success_share"] is Judgement.INCONCLUSIVE


def test_short_run_without_a_break_has_too_few_requests() -> None:
    found = verdict(requests=200, ok=200)
    assert found["success_share"] is Judgement.TOO_FEW
    assert found["degraded_share"] is Judgement.HOLDS


def test_share_verdict_includes_its_interval() -> None:
    row = next(row for row in judge(figures(shed=2), BUDGETS, QUIET) if row.budget == "success_share")
    assert row.interval is not None
    assert row.interval[0] < row.value < row.interval[1]
    assert row.row()["judgement"] == "holds"


@pytest.mark.parametrize(
    ("found", "code"),
    [(Judgement.BROKEN, 3), (Judgement.INCONCLUSIVE, 5), (Judgement.TOO_FEW, 5)],
)
def test_exit_code_separates_broken_from_inconclusive_budgets(found: Judgement, code: int) -> None:
    with pytest.raises((BudgetBroken, Inconclusive), match="p99_ms") as caught:
        enforce_judgements({"p99_ms": found, "success_share": Judgement.HOLDS}, BUSY.disturbances)
    assert caught.value.exit_code == code
    assert ("other programs" in str(caught.value)) == (found is Judgement.INCONCLUSIVE)


def test_enforce_judgements_does_not_raise_when_all_budgets_hold() -> None:
    enforce_judgements({"p99_ms": Judgement.HOLDS}, [])


def test_overload_reports_shed_share_and_admitted_latency() -> None:
    overloaded = figures(shed=600) | {"in_limit": 540, "limit_ms": 200.0, "ok_p99_ms": 270.0}
    seen = Overload.of(overloaded)
    assert (seen.shed.value, seen.in_limit.value, seen.p99_ms) == (0.5, 0.9, 270.0)
    assert any("200 ms" in what and value == 0.9 for what, value, _ in seen.rows())


def test_late_generator_excuses_shed_requests_but_no_degraded_responses() -> None:
    late = Conditions(0.0, 0.0, late_p99_ms=60.0, late_limit_ms=50.0)
    assert verdict(late, shed=600)["success_share"] is Judgement.INCONCLUSIVE
    assert verdict(late, degraded=600)["degraded_share"] is Judgement.BROKEN
