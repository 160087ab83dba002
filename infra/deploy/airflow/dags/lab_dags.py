"""The DAGs of the lab, generated from the designs: a build each day, a watch, and a retraining when one is due.

- `<design>`: the steps of the design's build. A run builds with the data before the midnight (UTC) of the day of
  `run_after`, so a backfill of a day gives what a build on that day would have given.
- `watch`: checks every hour which designs are due for a retraining, and reports them as events of assets.
- `<design>_retraining`: the same steps, started by such an event. Its model begins a rollout, and the monitor moves it
  on; the daily build releases at once.

Airflow reads this file with its own packages and the standard library: a `Design` names its code by dotted strings.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, Param
from lab_command import BuildStep, RetrainingCheck

from infra.build.tasks import tasks_of
from infra.design import Design
from lab.designs import load_designs

FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)  # the generated histories begin here: backfills may, too
TRAINING = "training"  # a pool with one slot, see setup.sh
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=5)}


def due(design: Design) -> Asset:
    return Asset(f"{design.name}_retraining_due")


def build_dag(design: Design, dag_id: str, schedule: Any, tag: str, *, as_challenger: bool = False) -> DAG:
    """One task per step; the edges are `Step.after`."""
    dag = DAG(
        dag_id,
        description=design.summary,
        schedule=schedule,
        start_date=FIRST_DAY,
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=1,
        max_active_tasks=1,
        default_args=RETRIES,
        params={"force": Param(False, type="boolean", description="run steps that are up to date again")},
        tags=[tag],
    )
    found: dict[str, BuildStep] = {}
    for task in tasks_of(design):
        pool = {"pool": TRAINING} if task.trains else {}
        found[task.name] = BuildStep(
            design=design.name, step=task.name, as_challenger=as_challenger, doc=task.title, dag=dag, **pool
        )
        found[task.name].set_upstream([found[name] for name in task.after])
    return dag


def watch_dag(designs: list[Design]) -> DAG:
    """One task per design. A task that finds a retraining due ends well, which is an event of its outlet."""
    dag = DAG(
        "watch",
        description="Check which designs are due for a retraining",
        schedule="@hourly",
        start_date=FIRST_DAY,
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=1,
        max_active_tasks=1,
        default_args=RETRIES,
        tags=["watch"],
    )
    for design in designs:
        RetrainingCheck(design=design.name, outlets=[due(design)], dag=dag)
    return dag


DESIGNS = load_designs()
for one in DESIGNS:
    globals()[one.name] = build_dag(one, one.name, "@daily", "build")
    globals()[f"{one.name}_retraining"] = build_dag(
        one, f"{one.name}_retraining", [due(one)], "retraining", as_challenger=True
    )
watch = watch_dag(DESIGNS)
