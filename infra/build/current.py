"""What happens with a finished build: it is released at once, or it begins a rollout as a challenger.

`lab build` releases at once: a person asked for it. A retraining that nobody watches begins a rollout
(`infra.registry.rollout`), and its model gets its users step by step. A build whose model was rolled back is not
released again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.build.fingerprints import CURRENT, delete_unused, point_to, read_pointer, step_paths
from infra.design import Design, resolve
from infra.errors import CorruptArtifact, UsageError
from infra.registry.release import FILE, PREVIOUS, Release, read_release
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.settings import Settings
from infra.telemetry.timeline import read, record

SUMMARY = "step.json"
"""the file in a step's output with its seconds, peak memory and facts"""


def settle(design: Design, settings: Settings, paths: Mapping[str, Path], *, as_challenger: bool = False) -> str:
    """Release the outputs `paths` (step -> directory) of a finished build, or begin their rollout. Outputs that are
    current already stay so.

    Returns why nothing is released, or an empty text. Raises `RegistryUnavailable` if the registry cannot name the
    champion; the same build goes on from there.
    """
    root = settings.design_root(design.name)
    release, rollout = _release_of(design, paths), read_rollout(root)
    if read_pointer(root / CURRENT) == _as_text(paths):
        return ""
    if release is not None and (why := _kept_back(rollout, release)):
        return why
    served = _served(root) if as_challenger else None
    if release is not None and served is not None and served.model_digest != release.model_digest:
        begin_rollout(design, settings, paths, release, served)
        return ""
    if release is not None:
        name_champion(settings, release)
        if rollout.is_active:
            write_rollout(root, rollout, rollout.moved("stopped", reason="a build released another model"))
    make_current(design, settings, paths)
    return ""


def begin_rollout(
    design: Design, settings: Settings, paths: Mapping[str, Path], release: Release, served: Release
) -> None:
    """Make the build's model the challenger. A challenger before it leaves."""
    root, now = settings.design_root(design.name), time.time()
    share = design.configuration(settings.preset).rollout.shadow_share
    while True:
        before = read_rollout(root)
        begun = Rollout(
            stage="shadow",
            share=share,
            version=release.model_version,
            digest=release.model_digest,
            release=str(paths[design.steps[-1].name]),
            paths=_as_text(paths),
            before=served.model_version,
            began=now,
            since=now,
            rejected=before.rejected,
        )
        if write_rollout(root, before, begun) is not None:
            break
    text = f"model version {release.model_version} is the challenger and computes in the shadow"
    record(settings, design.name, "shadow", text, version=release.model_version)
    delete_unused(root)  # challengers that went back leave outputs of hundreds of megabytes


def promote_challenger(design: Design, settings: Settings, rollout: Rollout, reason: str) -> bool:
    """Release the challenger of this rollout to all users; one that was rolled back is no longer called bad. False if
    another writer changed the rollout meanwhile. Raises `UsageError` if the outputs of its build are gone.

    The registry names the champion first, then the pointer moves, then the rollout ends. A process that dies in between
    leaves an active rollout, and the next look at it does the rest.
    """
    root = settings.design_root(design.name)
    if read_rollout(root).number != rollout.number:
        return False
    paths = {name: Path(path) for name, path in rollout.paths.items()}
    if not all(path.exists() for path in paths.values()):
        raise UsageError(
            f"the outputs of model version {rollout.version} are gone", hint=f"run: lab build {design.name}"
        )
    name_champion(settings, Release.read(Path(rollout.release)))
    make_current(design, settings, paths, reason, deletes=False)
    promoted = rollout.accepting(rollout.digest).moved("promoted", share=1.0, reason=reason)
    return write_rollout(root, rollout, promoted) is not None


def finish_promotion(design: Design, settings: Settings, rollout: Rollout) -> bool:
    """End the rollout of a promotion that was killed after its release had moved, and record it if nobody has. False if
    the challenger is not released."""
    root = settings.design_root(design.name)
    if not _is_released(root, rollout):
        return False
    recorded = [one for one in read(settings, design.name) if one.kind in ("promotion", "shadow")]
    if not recorded or recorded[-1].kind == "shadow":
        text = f"model version {rollout.version} is the champion; its promotion was interrupted"
        record(settings, design.name, "promotion", text, version=rollout.version)
    write_rollout(root, rollout, rollout.moved("promoted", share=1.0, reason=rollout.reason))
    return True


def end_rollout(design: Design, settings: Settings, rollout: Rollout, *, is_bad: bool, reason: str) -> bool:
    """Take the challenger out of service. With `is_bad`, its model is not tried again. False if another writer changed
    the rollout meanwhile, or if a promotion has already released the challenger and has not ended yet."""
    if _is_released(settings.design_root(design.name), rollout):
        return False
    changed = rollout.moved("rolled back" if is_bad else "stopped", reason=reason)
    if is_bad:
        changed = changed.rejecting(rollout.digest, reason)
    if write_rollout(settings.design_root(design.name), rollout, changed) is None:
        return False
    what = "rolled back" if is_bad else "stopped"
    text = f"model version {rollout.version} is {what}: {reason}"
    record(settings, design.name, "rollback" if is_bad else "stop", text, version=rollout.version)
    return True


def release_previous(design: Design, settings: Settings, reason: str) -> Release:
    """Release the build before the current one again, and do not try the present champion's model again. Returns the
    new champion's release. Raises `UsageError` if there is no build before."""
    root = settings.design_root(design.name)
    bad, present, paths = read_release(root), read_pointer(root / CURRENT), read_pointer(root / PREVIOUS)
    last = design.steps[-1].name
    release = Release.read(Path(paths[last])) if last in paths and Path(paths[last]).exists() else None
    rejected = {*read_rollout(root).rejected, bad.model_digest}  # a killed build may leave the pointer to itself
    if release is None or release.model_digest in rejected:
        raise UsageError(f"{design.name} has no earlier release to go back to")
    name_champion(settings, release)
    while True:
        rollout = read_rollout(root)
        changed = replace(
            rollout,
            version=bad.model_version,
            digest=bad.model_digest,
            release=present[last],
            paths=present,
            before=release.model_version,
        )
        changed = changed.moved("rolled back", reason=reason).rejecting(bad.model_digest, reason)
        if write_rollout(root, rollout, changed) is not None:
            break
    point_to(root / CURRENT, root / "steps", {name: Path(path) for name, path in paths.items()}, deletes=False)
    text = f"model version {release.model_version} serves again, in place of version {bad.model_version}: {reason}"
    record(settings, design.name, "rollback", text, version=bad.model_version)
    return release


def name_champion(settings: Settings, release: Release) -> None:
    """Set the registry's alias champion. Raises `RegistryUnavailable` if the registry does not answer."""
    resolve("infra.registry.aliases:name_champion")(settings, release)  # a dotted name: serving must not import MLflow


def make_current(
    design: Design, settings: Settings, paths: Mapping[str, Path], reason: str = "", *, deletes: bool = True
) -> None:
    """Point `current.json` to these outputs: step -> directory. A build that changed no output is not recorded.

    The recorded seconds are those of the steps whose outputs are new, also if a process of its own ran each step.
    """
    root = settings.design_root(design.name)
    replaced = point_to(root / CURRENT, root / "steps", paths, deletes=deletes)
    if replaced is None:
        return
    new = [name for name, path in paths.items() if replaced.get(name) != str(path)]
    summaries = {name: _summary(paths[name]) for name in paths}
    seconds = round(sum(summaries[name]["seconds"] for name in new), 1)
    version = summaries[design.steps[-1].name]["facts"].get("version")
    if version is not None and design.steps[-1].name in new:
        verdict = reason or summaries.get(design.evaluate, {"facts": {}})["facts"].get("gate", "")
        text = f"model version {version} is the champion{f': {verdict}' if verdict else ''}"
        record(settings, design.name, "promotion", text, version=version)
    what = "a build without a model" if version is None else f"model version {version}"
    text = f"{what} is released; {len(new)} of {len(paths)} steps ran, {seconds:g} s"
    record(settings, design.name, "build", text, version=version, seconds=seconds, steps=new)


def is_built(design: Design, settings: Settings) -> bool:
    """True if the next build would run no step and release nothing: its outputs are current, or the challenger of the
    running rollout, or their model was rolled back."""
    paths, root = step_paths(design, settings), settings.design_root(design.name)
    if not all(path.exists() for path in paths.values()):
        return False
    if read_pointer(root / CURRENT) == _as_text(paths):
        return True
    release = _release_of(design, paths)
    return _served(root) is not None and release is not None and bool(_kept_back(read_rollout(root), release))


def _kept_back(rollout: Rollout, release: Release) -> str:
    """Why a build with this release is not released, or an empty text."""
    digest, version = release.model_digest, release.model_version
    if digest in rollout.rejected:
        why = rollout.rejected[digest]
        return f"model version {version} is not released, because it was rolled back ({why}); see: lab promote"
    if rollout.is_active and digest == rollout.digest:
        return f"model version {version} is the challenger of the running rollout, in stage {rollout.stage}"
    return ""


def _is_released(root: Path, rollout: Rollout) -> bool:
    """True if the challenger of a running rollout is released: its promotion was killed, or runs now."""
    return rollout.is_active and bool(rollout.paths) and read_pointer(root / CURRENT) == dict(rollout.paths)


def _served(root: Path) -> Release | None:
    try:
        return read_release(root)
    except (UsageError, CorruptArtifact):
        return None


def _release_of(design: Design, paths: Mapping[str, Path]) -> Release | None:
    """The release of a build, or None for a design whose last step writes none."""
    last = paths[design.steps[-1].name]
    return Release.read(last) if (last / FILE).exists() else None


def _as_text(paths: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in paths.items()}


def _summary(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / SUMMARY).read_text())
    return found
