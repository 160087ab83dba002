"""Commands of a rollout: rollout, promote, rollback, stop."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.design import Design
from infra.errors import DependencyError, UsageError
from infra.parent import stop_with_parent
from infra.registry.aliases import FOLDER, is_behind, set_aliases
from infra.registry.release import read_release
from infra.registry.rollout import Rollout, read_rollout
from infra.settings import Settings
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table

Reason = Annotated[str, typer.Option(help="the reason; the timeline and the registry keep it")]
BY_HAND = "by hand"
LOOK_S, FOLLOW_S, AGAIN_S = 3.0, 300.0, 30.0
"""seconds between two looks at a rollout, for which one process follows it, and after which it asks a registry again
that did not answer"""


def rollout(
    design: DesignName,
    follow: Annotated[
        bool, typer.Option("--follow", hidden=True, help="move the rollout on until it ends; the monitor runs this")
    ] = False,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Show how far a design's challenger is: shadow, canary with its share of users, promoted or rolled back.

    The monitor of a running lab moves a rollout on; without one it stands still. The knobs `shadow_...`, `canary_...`
    and `guard_...` of the design say when it moves.
    """
    found, settings = find_design(design), settings_for(preset)
    root = settings.design_root(found.name)
    if follow:
        stop_with_parent(settings.parent_pipe)
        _follow(found, settings)
        return
    state = read_rollout(root)
    measured = _measured(root, state)
    if as_json:
        print_json(state.row() | {"measured": measured})
        return
    if state.stage == "none":
        err.print(f"{design} ({settings.preset}) has had no rollout; `lab retrain {design}` begins one", markup=False)
        return
    share = f", {state.share:.0%} of users" if state.stage == "canary" else ""
    err.print(
        f"model version {state.version} in place of {state.before}: {state.stage}{share}, "
        f"for {time.time() - state.since:,.0f} s{f'; {state.reason}' if state.reason else ''}",
        markup=False,
        soft_wrap=True,
    )
    requests, sessions = ("requests", "failed", "degraded", "too slow"), ("sessions", "users")
    names = ("model", *requests, *sessions, measured.get("measure") or "metric", "calibration")
    print_table(names, _rows(found, settings, state, measured))
    if state.stage == "canary":
        low, high = measured.get("low"), measured.get("high")
        bounds = "not known yet" if low is None or high is None else f"{low:+.3g} to {high:+.3g}"
        err.print(f"difference of the online metric, at any time with the same certainty: {bounds}", soft_wrap=True)


def _follow(design: Design, settings: Settings) -> None:
    """Look every few seconds until the rollout ends or the process that started this one has ended. Every few minutes
    the monitor starts a new process. Raises `DependencyError` if the registry could not be told of the end: the monitor
    then waits before it starts another process."""
    from infra.live.rollout_step import advance

    parent, until, tell_at = os.getppid(), time.monotonic() + FOLLOW_S, 0.0
    while True:
        state = advance(design, settings)
        if time.monotonic() >= tell_at or not state.is_active:
            is_told = _tell_registry(design, settings, state)
            tell_at = 0.0 if is_told else time.monotonic() + AGAIN_S
            if not state.is_active and not is_told:
                raise DependencyError("the rollout has ended, and the registry has not been told")
        if not state.is_active or os.getppid() != parent or time.monotonic() > until:
            return
        time.sleep(LOOK_S)


def promote(design: DesignName, reason: Reason = BY_HAND, preset: Preset = None) -> None:
    """Release the challenger to all users at once: that of the running rollout, or one that was stopped or rolled
    back."""
    from infra.build.current import promote_challenger

    found, settings = find_design(design), settings_for(preset)
    state = _settled(found, settings)
    if state.stage in ("none", "promoted"):
        raise UsageError(f"{design} ({settings.preset}) has no challenger", hint=f"see: lab rollout {design}")
    if not promote_challenger(found, settings, state, reason):
        raise UsageError("the rollout has just changed", hint=f"see: lab rollout {design}")
    _tell_registry(found, settings, read_rollout(settings.design_root(found.name)))
    err.print(f"model version {state.version} is the champion of {design}")


def stop(design: DesignName, reason: Reason = BY_HAND, preset: Preset = None) -> None:
    """End the running rollout: the champion answers all users. The challenger is not called bad."""
    _end(design, preset, reason, is_bad=False)


def rollback(design: DesignName, reason: Reason = BY_HAND, preset: Preset = None) -> None:
    """Take a bad model back: the challenger of the running rollout, else the champion, whose predecessor serves again.

    The bad model is tagged in the registry and is not released again; other models are.
    """
    from infra.build.current import release_previous

    found, settings = find_design(design), settings_for(preset)
    root = settings.design_root(found.name)
    if _settled(found, settings).is_active:
        _end(design, preset, reason, is_bad=True)
        return
    bad = read_release(root).model_version
    release = release_previous(found, settings, reason)
    _tell_registry(found, settings, read_rollout(root))
    err.print(f"model version {release.model_version} serves again, in place of version {bad} of {design}")


def _end(design: str, preset: Any, reason: str, *, is_bad: bool) -> None:
    from infra.build.current import end_rollout

    found, settings, state = _running(design, preset)
    if not end_rollout(found, settings, state, is_bad=is_bad, reason=reason):
        raise UsageError("the rollout has just changed", hint=f"see: lab rollout {design}")
    _tell_registry(found, settings, read_rollout(settings.design_root(found.name)))
    err.print(f"model version {state.version} of {design} is {'rolled back' if is_bad else 'stopped'}")


def _running(design: str, preset: Any) -> tuple[Design, Settings, Rollout]:
    found, settings = find_design(design), settings_for(preset)
    state = _settled(found, settings)
    if not state.is_active:
        raise UsageError(f"{design} ({settings.preset}) has no running rollout", hint=f"see: lab rollout {design}")
    return found, settings, state


def _settled(design: Design, settings: Settings) -> Rollout:
    """The rollout. A promotion that was killed after its release had moved is finished first, without a monitor too."""
    from infra.build.current import finish_promotion

    root = settings.design_root(design.name)
    finish_promotion(design, settings, read_rollout(root))
    return read_rollout(root)


def _tell_registry(design: Design, settings: Settings, state: Rollout) -> bool:
    """Set the registry's aliases. What serves does not depend on it, so a registry that is down is only a warning.
    False if it does not answer."""
    if not is_behind(settings.design_root(design.name), state):
        return True
    try:
        set_aliases(settings, design.name)
    except DependencyError as exc:
        err.print(f"the registry's aliases are old: {exc}; the monitor sets them later", markup=False, soft_wrap=True)
        return False
    return True


def _measured(root: Path, state: Rollout) -> dict[str, Any]:
    """What the newest look at the canary has measured. A step of a canary begins without sessions."""
    try:
        found: dict[str, Any] = json.loads((root / FOLDER / "measured.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if found["number"] == state.number or not state.is_active else {}


def _rows(design: Design, settings: Settings, state: Rollout, measured: dict[str, Any]) -> list[list[Any]]:
    """A row for the champion and one for the challenger."""
    from infra.serving.release_tally import Counts, read_tallies

    tallied = read_tallies(settings.design_root(design.name), state.digest)
    model, rows = f"{design.name}-{settings.preset}", []
    for role, version, key in (("champion", state.before, "old"), ("challenger", state.version, "new")):
        counts = tallied.models.get(f"{model}/{version}", Counts())
        arm, ratio = measured.get(key) or {}, (measured.get("calibration") or {}).get(key) or [None]
        mean = (measured.get("means") or {}).get(key)
        rows.append(
            [
                f"{role} {version}",
                counts.answered,
                counts.failed,
                counts.degraded,
                counts.slow,
                arm.get("n", 0),
                arm.get("users") or "",
                "" if mean is None else f"{mean:.4g}",
                "" if ratio[0] is None else f"{ratio[0]:.3f}",
            ]
        )
    shadow = tallied.shadow
    rows.append([f"in the shadow {state.version}", shadow.done, shadow.failed, "", "", "", "", "", ""])
    return rows
