"""Step `release`: fetch and verify the build's model, and write the release file that names the build's artifacts."""

from __future__ import annotations

import json
import time

from infra.build.runner import Facts, StepContext
from infra.errors import LabError
from infra.live.kept_log import read_until
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.registry.release import Release


def evaluated_model(context: StepContext) -> ModelVersion:
    """The model version that this build registered and the gate passed. Raises `LabError` if the registry does not
    hold it any more."""
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    name, version, digest = str(registered["name"]), int(registered["version"]), str(registered["digest"])
    if MlflowRegistry(context.settings).digest_of(name, version) != digest:
        raise LabError(
            f"the registry does not hold version {version} of {name}, which this build evaluated",
            hint=f"run: lab build {context.design.name} --from train",
        )
    return ModelVersion(name, version, digest, {})


def write_release(context: StepContext, model: ModelVersion) -> Facts:
    """Fetch the files of `model` and write the release of this build to `context.out`."""
    models = context.settings.design_root(context.design.name) / "models"
    Release(
        design=context.design.name,
        model_name=model.name,
        model_version=model.version,
        model_digest=model.digest,
        model_path=str(MlflowRegistry(context.settings).fetch(model, models)),
        index_path=str(context.inputs["index"] / "snapshot"),
        features_path=str(context.inputs["materialize"]),
        world_now=read_until(context.inputs["live"]),
        naive_path=str(context.inputs.get("naive", "")),
        released_ts=time.time(),
    ).write(context.out)
    return {"model": model.name, "version": model.version}
