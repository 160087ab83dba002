"""Command `models`: the registered model versions of a design."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from infra.errors import UsageError
from infra.registry.port import ListedVersion
from infra.registry.release import read_release
from infra.settings import Settings
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table


def models(
    design: DesignName,
    limit: Annotated[int, typer.Option(min=1, max=200, help="number of versions, newest first")] = 10,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """List a design's registered models: age, aliases, the gate's verdict, and the figures of the training.

    `serves` marks the version that the current release names. A retraining's model is challenger, shadow and
    canary before it is champion; `previous` is the model that `lab rollback` goes back to.
    """
    from infra.registry.mlflow_registry import MlflowRegistry

    found, settings = find_design(design), settings_for(preset)
    name = f"{found.name}-{settings.preset}"
    versions = MlflowRegistry(settings).newest(name, limit)
    if not versions:
        raise UsageError(
            f"the registry has no model {name}", hint=f"run: lab build {design} --preset {settings.preset}"
        )
    served = _served(settings, found.name)
    if as_json:
        print_json([_row(version, served) for version in versions])
        return
    now = time.time()
    figures = list(versions[0].model.metrics)
    rows = [
        [
            one.model.version,
            _age(now - one.registered_ts),
            ", ".join([*one.aliases, *(["serves"] if one.model.version == served else [])]),
            one.gate,
            one.rollout,
            *(round(one.model.metrics[figure], 4) if figure in one.model.metrics else "" for figure in figures),
        ]
        for one in versions
    ]
    print_table(("version", "age", "role", "gate", "rollout", *figures), rows)
    err.print(f"registry: {settings.registry_uri or settings.mlflow_uri}", soft_wrap=True)


def _served(settings: Settings, design: str) -> int | None:
    try:
        return read_release(settings.design_root(design)).model_version
    except UsageError:
        return None


def _row(one: ListedVersion, served: int | None) -> dict[str, Any]:
    return {
        "version": one.model.version,
        "registered_ts": one.registered_ts,
        "aliases": list(one.aliases),
        "serves": one.model.version == served,
        "gate": one.gate,
        "rollout": one.rollout,
        "digest": one.model.digest,
        "figures": dict(one.model.metrics),
    }


def _age(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"
