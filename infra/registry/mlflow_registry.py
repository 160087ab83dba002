"""The adapter to MLflow. It stores directories of ONNX and JSON files unchanged and never unpickles anything."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

# MLflow reads these at import: fail within seconds when a server is down, no progress bars, no telemetry.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import sqlalchemy.exc
import stamina
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from infra.errors import CorruptArtifact, RegistryUnavailable
from infra.registry.manifest import MANIFEST, file_digest, verify
from infra.registry.port import ListedVersion, ModelVersion
from infra.settings import Settings

MISSING = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
ARTIFACT_PATH = "bundle"
DIGEST_TAG, GATE_TAG, ROLLOUT_TAG = "manifest_sha256", "gate", "rollout"
MOST_TEXT = 500


class MlflowRegistry:
    """The model registry: one experiment and one registered model per model name."""

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._artifacts = settings.mlflow_artifacts
        if settings.registry_uri is None:
            self._artifacts.mkdir(parents=True, exist_ok=True)
            setting_up: AbstractContextManager[None] = _one_process_at_a_time(self._artifacts / ".set-up.lock")
        else:
            setting_up = nullcontext()
        with setting_up, mlflow_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about MLflow's own use of SQLAlchemy
            self.client = MlflowClient(tracking_uri=settings.mlflow_uri)
            if settings.registry_uri is None:
                self.client.search_registered_models(max_results=1)  # opens the store, which creates its tables

    def register(
        self, name: str, directory: Path, *, params: Mapping[str, object], metrics: Mapping[str, float]
    ) -> ModelVersion:
        """Store a directory with its manifest as a new version. Raises `RegistryUnavailable` if MLflow fails."""
        digest = file_digest(directory / MANIFEST)
        with mlflow_errors():
            run_id = self.client.create_run(self.experiment(name)).info.run_id
            for key, value in params.items():
                self.client.log_param(run_id, key, value)
            for key, number in metrics.items():
                self.client.log_metric(run_id, key, number)
            self.client.log_artifacts(run_id, str(directory), ARTIFACT_PATH)
            self.client.set_terminated(run_id)
            if not self.client.search_registered_models(f"name = '{name}'"):
                self.client.create_registered_model(name)
            version = self.client.create_model_version(
                name, f"runs:/{run_id}/{ARTIFACT_PATH}", run_id, tags={DIGEST_TAG: digest}
            )
        return ModelVersion(name, int(version.version), digest, dict(metrics))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        with mlflow_errors():
            self.client.set_registered_model_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        with mlflow_errors():
            self.client.delete_registered_model_alias(name, alias)

    def set_rollout(self, name: str, version: int, state: str) -> None:
        """Keep how far the rollout of a version went, and why it ended."""
        with mlflow_errors():
            self.client.set_model_version_tag(name, str(version), ROLLOUT_TAG, state[:MOST_TEXT])

    def set_verdict(self, name: str, version: int, verdict: str) -> None:
        """Keep the gate's verdict on a version."""
        with mlflow_errors():
            self.client.set_model_version_tag(name, str(version), GATE_TAG, verdict[:MOST_TEXT])

    def newest(self, name: str, limit: int) -> list[ListedVersion]:
        """The newest versions of a model, newest first; none if the model does not exist."""
        with mlflow_errors():
            if not self.client.search_registered_models(f"name = '{name}'"):
                return []
            aliases = self.client.get_registered_model(name).aliases  # the versions of a search carry none
            found = self.client.search_model_versions(
                f"name = '{name}'", max_results=limit, order_by=["version_number DESC"]
            )
            return [
                ListedVersion(
                    ModelVersion(
                        name,
                        int(one.version),
                        one.tags.get(DIGEST_TAG, ""),
                        self.client.get_run(str(one.run_id)).data.metrics,
                    ),
                    tuple(sorted(alias for alias, version in aliases.items() if int(version) == int(one.version))),
                    float(one.creation_timestamp) / 1000,
                    one.tags.get(GATE_TAG, ""),
                    one.tags.get(ROLLOUT_TAG, ""),
                )
                for one in found
            ]

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        with mlflow_errors():
            try:
                found = self.client.get_model_version_by_alias(name, alias)
            except MlflowException as exc:
                if exc.error_code in MISSING:
                    return None
                raise
            metrics = self.client.get_run(str(found.run_id)).data.metrics
        return ModelVersion(name, int(found.version), found.tags.get(DIGEST_TAG, ""), metrics)

    def digest_of(self, name: str, version: int) -> str | None:
        """SHA-256 of the manifest of one version; None if the version does not exist."""
        with mlflow_errors():
            try:
                found = self.client.get_model_version(name, str(version))
            except MlflowException as exc:
                if exc.error_code in MISSING:
                    return None
                raise
        return str(found.tags.get(DIGEST_TAG, ""))

    @stamina.retry(on=RegistryUnavailable, attempts=2, wait_initial=0.2, timeout=10)
    def fetch(self, model: ModelVersion, to: Path) -> Path:
        """Download the model into its own directory under `to`, verify the files, and return the directory.

        An existing copy is verified and reused, or replaced if it is damaged.
        """
        final = to / f"{model.name}-{model.version}-{model.digest[:12]}"
        if final.exists():
            try:
                verify(final, digest=model.digest)
                return final
            except CorruptArtifact:
                shutil.rmtree(final)  # the copy is damaged: download it again
        to.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=to, prefix=".fetch-"))
        try:
            with mlflow_errors():
                version = self.client.get_model_version(model.name, str(model.version))
                self.client.download_artifacts(str(version.run_id), ARTIFACT_PATH, str(aside))
            verify(aside / ARTIFACT_PATH, digest=model.digest)
            (aside / ARTIFACT_PATH).rename(final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return final

    def experiment(self, name: str) -> str:
        """Return the id of the experiment `name`, and create the experiment if it is missing."""
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = self._artifacts.as_uri() if self._artifacts.exists() else None
        return str(self.client.create_experiment(name, artifact_location=location))


@contextmanager
def _one_process_at_a_time(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on `lock`.

    MLflow creates the tables of a new SQLite file without a lock, so two concurrent first builds would fail.
    """
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def mlflow_errors() -> Iterator[None]:
    """Convert exceptions of MLflow and its database to `RegistryUnavailable`."""
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as exc:
        is_missing = isinstance(exc, MlflowException) and exc.error_code in MISSING
        what = "has no such entry" if is_missing else "did not answer"
        raise RegistryUnavailable(f"the model registry {what}: {exc}") from exc
