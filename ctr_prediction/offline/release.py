"""Step `release`: fetch the champion from the registry, verify it, and write the release file."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ctr_prediction.events.history import read_until
from ctr_prediction.features.views import PROJECT, open_store, project_of
from ctr_prediction.items.snapshot import open_snapshot
from infra.build.runner import Facts, StepContext
from infra.errors import LabError
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.release import CURRENT, Release


def publish(context: StepContext) -> Facts:
    """Write the release. Raises `LabError` if the champion is not the model that this build evaluated."""
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    registry = MlflowRegistry(context.settings)
    champion = registry.by_alias(registered["name"], "champion")
    if champion is None or champion.digest != registered["digest"]:
        raise LabError(
            f"the champion of {registered['name']} is not the model that this build evaluated",
            hint=f"run: lab build {context.design.name} --from train",
        )
    models = context.settings.design_root(context.design.name) / "models"
    path = registry.fetch(champion, models)
    open_snapshot(context.inputs["index"] / "snapshot", model_digest=champion.digest)
    Release(
        design=context.design.name,
        model_name=champion.name,
        model_version=champion.version,
        model_digest=champion.digest,
        model_path=str(path),
        index_path=str(context.inputs["index"] / "snapshot"),
        features_path=str(context.inputs["materialize"]),
        world_now=read_until(context.inputs["live"]),
        released_ts=time.time(),
    ).write(context.out)
    if context.settings.redis and not context.variant:
        forget_old_rows(context)
    return {"model": champion.name, "version": champion.version}


def forget_old_rows(context: StepContext) -> None:
    """Delete the rows in a shared online store that neither this build nor the currently served build reads."""
    current = context.settings.design_root(context.design.name) / CURRENT
    served = json.loads(current.read_text()) if current.exists() else {}
    read = [Path(steps["materialize"]) for steps in (context.inputs, served) if "materialize" in steps]
    open_store(context.inputs["materialize"], context.settings).forget_others(
        f"{PROJECT}_", {project_of(path) for path in read}
    )
