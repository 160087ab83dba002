"""Step `release`: fetch and verify the champion, and write the release file that names the build's artifacts."""

from __future__ import annotations

import json
import time

from infra.build.runner import Facts, StepContext
from infra.errors import LabError
from infra.live.kept_log import read_until
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.registry.release import Release


def evaluated_champion(context: StepContext) -> ModelVersion:
    """The registry's champion. Raises `LabError` if the champion is not the model that this build evaluated."""
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    champion = MlflowRegistry(context.settings).by_alias(registered["name"], "champion")
    if champion is None or champion.digest != registered["digest"]:
        raise LabError(
            f"the champion of {registered['name']} is not the model that this build evaluated",
            hint=f"run: lab build {context.design.name} --from train",
        )
    return champion


def write_release(context: StepContext, champion: ModelVersion) -> Facts:
    """Fetch the files of `champion` and write the release of this build to `context.out`."""
    models = context.settings.design_root(context.design.name) / "models"
    Release(
        design=context.design.name,
        model_name=champion.name,
        model_version=champion.version,
        model_digest=champion.digest,
        model_path=str(MlflowRegistry(context.settings).fetch(champion, models)),
        index_path=str(context.inputs["index"] / "snapshot"),
        features_path=str(context.inputs["materialize"]),
        world_now=read_until(context.inputs["live"]),
        naive_path=str(context.inputs.get("naive", "")),
        released_ts=time.time(),
    ).write(context.out)
    return {"model": champion.name, "version": champion.version}
