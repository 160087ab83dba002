"""The tasks of an orchestrator are the steps of a design, and their commands and exit codes are those of `lab`."""

from __future__ import annotations

import signal

import pytest

from infra.build.tasks import Outcome, Task, check_command, outcome_of, step_command, tasks_of
from infra.design import Design
from infra.errors import BudgetBroken, Busy, DataRejected, DependencyError, InputsMissing, LabError, UsageError
from lab.designs import load_designs
from tests.support.tiny_steps import DESIGN, WITH_OPTION

DESIGNS = load_designs()


def test_each_step_is_a_task_after_the_steps_that_it_reads() -> None:
    assert tasks_of(DESIGN) == (
        Task("a", "First", (), False),
        Task("b", "Second", ("a",), False),
        Task("c", "Third", ("b",), False),
    )


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_tasks_that_train_are_marked(design: Design) -> None:
    assert {task.name for task in tasks_of(design) if task.trains} >= {"train"}


def test_step_that_a_user_must_choose_is_no_task_and_no_edge() -> None:
    found = {task.name: task.after for task in tasks_of(WITH_OPTION)}
    assert found == {"a": (), "b": ("a",), "d": ("a",)}


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_last_task_of_a_design_waits_for_all_others(design: Design) -> None:
    """The last step publishes the release. It may not run beside a step whose output the release lacks."""
    found = {task.name: task for task in tasks_of(design)}
    last = list(found)[-1]

    def before(name: str) -> set[str]:
        return {name}.union(*(before(other) for other in found[name].after))

    assert before(last) == set(found)


def test_command_of_a_step_passes_values_as_arguments() -> None:
    run_id = "manual; rm -rf $HOME"
    assert step_command("/opt/lab/bin/lab", "tiny", "a", as_of="2026-01-08", forced_run=run_id) == [
        *("/opt/lab/bin/lab", "build", "tiny", "--only", "a", "--as-of", "2026-01-08"),
        *("--wait", "600", "--force", run_id),
    ]


def test_command_of_a_step_forces_nothing_by_default() -> None:
    assert "--force" not in step_command("lab", "tiny", "a", as_of="2026-01-08")


def test_retraining_hands_its_model_to_a_rollout() -> None:
    assert "--challenger" in step_command("lab", "tiny", "a", as_of="2026-01-08", as_challenger=True)
    assert "--challenger" not in step_command("lab", "tiny", "a", as_of="2026-01-08")


def test_check_command_asks_for_one_design() -> None:
    assert check_command("lab", "tiny") == ["lab", "retrain", "tiny", "--check"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, Outcome.DONE),
        (UsageError.exit_code, Outcome.FAILED),
        (BudgetBroken.exit_code, Outcome.FAILED),
        (InputsMissing.exit_code, Outcome.FAILED),
        (DataRejected.exit_code, Outcome.FAILED),
        (LabError.exit_code, Outcome.RETRY),
        (DependencyError.exit_code, Outcome.RETRY),
        (Busy.exit_code, Outcome.RETRY),
        (-signal.SIGKILL, Outcome.RETRY),
        (128 + signal.SIGTERM, Outcome.RETRY),
    ],
)
def test_only_an_exit_that_may_pass_is_repeated(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome
