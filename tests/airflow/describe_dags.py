"""Prints the DAGs as JSON. Runs in Airflow's environment, which has none of the lab's packages."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag


def described(dag: Any) -> dict[str, Any]:
    return {
        "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
        "pools": {task.task_id: task.pool for task in dag.tasks},
        "retries": sorted({task.retries for task in dag.tasks}),
        "max_active_tasks": dag.max_active_tasks,
        "catchup": dag.catchup,
        "paused": dag.is_paused_upon_creation,
        "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
        "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks},
        "waits_for": [] if isinstance(dag.schedule, str) else [asset.name for asset in dag.schedule],
    }


def endings(operator: Any) -> dict[int, str]:
    """Exit code -> name of the exception that the operator raises; `done` for none."""
    found = {}
    for status in (0, 1, 2, 3, 6, 7, 8, 10, -9):
        try:
            operator.ended(status)
            found[status] = "done"
        except Exception as exc:
            found[status] = type(exc).__name__
    return found


folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
bag = BundleDagBag(folder, bundle_path=folder)
lab_modules = sorted(name for name in sys.modules if name.split(".")[0] in ("feast", "pyarrow", "numpy", "mlflow"))
print(
    json.dumps(
        {
            "errors": bag.import_errors,
            "dags": {name: described(dag) for name, dag in bag.dags.items()},
            "build_endings": endings(bag.dags["feed_ranking"].tasks[0]),
            "check_endings": endings(bag.dags["watch"].tasks[0]),
            "lab_modules": lab_modules,
        }
    )
)
