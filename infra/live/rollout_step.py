"""Moves a rollout on by one look: shadow, the canary's steps, then champion, or back.

`guard` is cheap and reads only the replicas' counts; the monitor calls it every two seconds. `advance` also reads the
live log; a child of the monitor calls it every few seconds. Both change the state with the number that they have read,
so a command of a person, such as `lab stop`, is never overwritten.
"""

from __future__ import annotations

from infra.build.current import end_rollout, finish_promotion, promote_challenger
from infra.design import Design
from infra.evaluation.guardrails import (
    Requests,
    broken_by_calibration,
    broken_by_requests,
    broken_by_sessions,
    next_share,
    wilson,
)
from infra.evaluation.rollout_config import RolloutConfig
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.serving.release_tally import Counts, Tallied, read_tallies
from infra.settings import Settings
from infra.telemetry.timeline import record


def guard(design: Design, settings: Settings, rollout: Rollout) -> str:
    """Roll the challenger back if the replicas' counts are beyond a guardrail. Returns the reason, or an empty text."""
    config = design.configuration(settings.preset).rollout
    tallied = read_tallies(settings.design_root(design.name), rollout.digest)
    reason = _broken(tallied, _names(design, settings, rollout), config)
    return reason if reason and end_rollout(design, settings, rollout, is_bad=True, reason=reason) else ""


def advance(design: Design, settings: Settings) -> Rollout:
    """One look at a running rollout; returns its state afterwards. Raises `RegistryUnavailable` if the registry cannot
    name a new champion: the challenger keeps its users until then."""
    root = settings.design_root(design.name)
    rollout = read_rollout(root)
    if not rollout.is_active:
        return rollout
    config: RolloutConfig = design.configuration(settings.preset).rollout
    if finish_promotion(design, settings, rollout) or guard(design, settings, rollout):
        return read_rollout(root)
    if rollout.stage == "shadow":
        _leave_shadow(design, settings, rollout, config)
    else:
        _step_canary(design, settings, rollout, config)
    return read_rollout(root)


def _leave_shadow(design: Design, settings: Settings, rollout: Rollout, config: RolloutConfig) -> None:
    root = settings.design_root(design.name)
    done = read_tallies(root, rollout.digest).shadow.done
    if done >= config.shadow_requests or rollout.share == 0:
        text = f"{done:,} requests in the shadow without a sign of harm"
        _begin_step(design, settings, rollout, config.shares[0], text)


def _step_canary(design: Design, settings: Settings, rollout: Rollout, config: RolloutConfig) -> None:
    from infra.telemetry.canary.look import look  # numpy and Arrow, which `guard` does not need

    found = look(design, settings, rollout)
    reason = broken_by_sessions(found.new, found.old, found.high, found.measure, config)
    reason = reason or broken_by_calibration(found.calibration, config)
    if reason:
        end_rollout(design, settings, rollout, is_bad=True, reason=reason)
        return
    share = next_share(rollout.share, found.new, found.old, config)
    if share is None:
        return
    seen = f"{found.measure}: {found.new.mean:.3g} in {found.new.n:,} sessions, the champion's {found.old.mean:.3g}"
    if share < 1:
        _begin_step(design, settings, rollout, share, seen)
    else:
        promote_challenger(design, settings, rollout, f"it passed the canary; {seen}")


def _begin_step(design: Design, settings: Settings, rollout: Rollout, share: float, seen: str) -> None:
    changed = rollout.moved("canary", share=share, reason=seen)
    if write_rollout(settings.design_root(design.name), rollout, changed) is not None:
        text = f"model version {rollout.version} answers {share:.0%} of users; {seen}"
        record(settings, design.name, "canary", text, version=rollout.version, share=share)


def _broken(tallied: Tallied, names: tuple[str, str], config: RolloutConfig) -> str:
    if tallied.error:
        return f"a replica cannot load it: {tallied.error}"
    shadow = tallied.shadow
    low, _ = wilson(shadow.failed, shadow.done + shadow.failed)
    if low > config.guard_failures:
        return f"{shadow.failed} of {shadow.done + shadow.failed} requests fail in the shadow"
    old, new = (tallied.models.get(name, Counts()) for name in names)
    return broken_by_requests(_requests(new), _requests(old), config)


def _requests(counts: Counts) -> Requests:
    return Requests(counts.answered, counts.failed, counts.degraded, counts.slow)


def _names(design: Design, settings: Settings, rollout: Rollout) -> tuple[str, str]:
    """The model versions of champion and challenger, as answers name them."""
    model = f"{design.name}-{settings.preset}"
    return f"{model}/{rollout.before}", f"{model}/{rollout.version}"
