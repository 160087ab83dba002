"""Logs sweeps to MLflow: one parent run per sweep and one child run per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from infra.registry.mlflow_registry import MlflowRegistry, mlflow_errors
from infra.settings import Settings

PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"


def log_sweep(
    settings: Settings,
    experiment: str,
    name: str,
    rows: Sequence[tuple[Mapping[str, object], Mapping[str, float]]],
    directory: Path,
) -> str:
    """Log (knobs, measures) of each setting as a child run, and the files in `directory` with the parent run.

    Returns the id of the parent run. Raises `RegistryUnavailable` if MLflow does not answer.
    """
    registry = MlflowRegistry(settings)
    with mlflow_errors():
        client: MlflowClient = registry.client
        experiment_id = registry.experiment(experiment)
        parent: str = client.create_run(experiment_id, tags={RUN_NAME: name}).info.run_id
        for knobs, measures in rows:
            label = ", ".join(f"{key}={value}" for key, value in knobs.items())
            child = client.create_run(experiment_id, tags={PARENT: parent, RUN_NAME: label}).info.run_id
            params = [Param(key, str(value)) for key, value in knobs.items()]
            metrics = [Metric(key, float(value), 0, 0) for key, value in measures.items()]
            client.log_batch(child, metrics=metrics, params=params)
            client.set_terminated(child)
        client.log_artifacts(parent, str(directory))
        client.set_terminated(parent)
    return parent
