"""A design's build as the tasks of an orchestrator: names, order, commands, and what an exit code means.

Each task runs one `lab` command in a process of its own. An orchestrator reads a design with the standard library
alone, so this module imports nothing else. The DAGs of Airflow are made of these values (`infra/deploy/airflow`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from infra.design import Design
from infra.errors import BudgetBroken, DataRejected, InputsMissing, UsageError

WAIT_S: Final = 600
"""seconds that a task waits for another build of its design before it ends with `Busy` and is retried"""
PERMANENT: Final = (UsageError, BudgetBroken, InputsMissing, DataRejected)
"""errors that repeating the same command does not remove"""
DUE: Final = 10
"""exit code of `lab retrain --check` if a retraining is due"""


@dataclass(frozen=True)
class Task:
    """One step as a task. It starts when the tasks `after` have ended well. `trains`: one such task runs at a time."""

    name: str
    title: str
    after: tuple[str, ...]
    trains: bool


class Outcome(Enum):
    """What an orchestrator does with a command that has ended: go on, run it again, or give up."""

    DONE = "done"
    RETRY = "retry"
    FAILED = "failed"


def tasks_of(design: Design) -> tuple[Task, ...]:
    """The tasks of the design, in the order of its steps. Steps that a user must choose are left out."""
    steps = [step for step in design.steps if not step.option]
    names = {step.name for step in steps}
    return tuple(
        Task(step.name, step.title, tuple(name for name in step.after if name in names), step.trains) for step in steps
    )


def step_command(
    lab: str, design: str, step: str, *, as_of: str, forced_run: str = "", as_challenger: bool = False
) -> list[str]:
    """The command that runs one step, as a list of arguments, so that no shell reads them.

    `lab` is the path of the program. `as_of` is a date, YYYY-MM-DD: the step reads data before its midnight, UTC.
    `forced_run` is the id of a run that repeats steps that are up to date, empty for a run that does not. With
    `as_challenger`, a new model begins a rollout.
    """
    command = [lab, "build", design, "--only", step, "--as-of", as_of, "--wait", str(WAIT_S)]
    command += ["--challenger"] if as_challenger else []
    return [*command, "--force", forced_run] if forced_run else command


def check_command(lab: str, design: str) -> list[str]:
    """The command that ends with `DUE` if a retraining of the design is due, and with 0 if not."""
    return [lab, "retrain", design, "--check"]


def outcome_of(status: int) -> Outcome:
    """The outcome of a command by its exit code.

    A wrong command, a refused model, missing inputs and rejected data stay the same when the command is repeated.
    Everything else may pass: another build that runs, a server that does not answer, a process that was killed.
    """
    if status == 0:
        return Outcome.DONE
    return Outcome.FAILED if status in {error.exit_code for error in PERMANENT} else Outcome.RETRY
