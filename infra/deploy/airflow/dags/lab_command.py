"""Operators that run one `lab` command each, and show its output in the log of the task.

A command is a list of arguments, so no shell reads a value of the run. The exit code decides whether Airflow runs the
task again (`infra.build.tasks`). The build lock of the lab keeps a repeated task and a left-over process apart, and a
step that has an output is not built again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from infra.build.tasks import DUE, Outcome, check_command, outcome_of, step_command

LAB = os.environ.get("LAB_EXECUTABLE", "/opt/lab/bin/lab")


class LabOperator(BaseOperator):
    """Runs the command of a subclass. A task that is stopped sends SIGTERM to the process and its children."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def ended(self, status: int) -> None:
        """Raise an exception unless the task is done after this exit code."""
        outcome = outcome_of(status)
        if outcome is Outcome.FAILED:
            raise AirflowFailException(f"exit code {status}; running the command again would not help")
        if outcome is Outcome.RETRY:
            raise AirflowException(f"exit code {status}")

    def execute(self, context: Any) -> None:
        self._hook = SubprocessHook()
        # the lab must not read Airflow's settings
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
        self.ended(self._hook.run_command(self.command(), env=own).exit_code)

    def on_kill(self) -> None:
        self._hook.send_sigterm()


class BuildStep(LabOperator):
    """Runs one step of a design's build. Airflow fills in the two templates, and the page shows their values."""

    template_fields: Sequence[str] = ("as_of", "forced_run")

    def __init__(self, *, design: str, step: str, as_challenger: bool = False, **options: Any) -> None:
        super().__init__(task_id=step, **options)
        self.design, self.step, self.as_challenger = design, step, as_challenger
        self.as_of = "{{ dag_run.run_after.strftime('%Y-%m-%d') }}"
        self.forced_run = "{{ run_id if params.force else '' }}"

    def command(self) -> list[str]:
        return step_command(
            LAB,
            self.design,
            self.step,
            as_of=self.as_of,
            forced_run=self.forced_run,
            as_challenger=self.as_challenger,
        )


class RetrainingCheck(LabOperator):
    """Checks whether a retraining of a design is due. If not, the task is skipped, and its outlet gets no event."""

    def __init__(self, *, design: str, **options: Any) -> None:
        super().__init__(task_id=design, **options)
        self.design = design

    def command(self) -> list[str]:
        return check_command(LAB, self.design)

    def ended(self, status: int) -> None:
        if status == 0:
            raise AirflowSkipException("no retraining is due")
        if status != DUE:
            super().ended(status)
