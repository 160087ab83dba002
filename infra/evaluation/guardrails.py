"""Decides what happens to a challenger: it waits, moves on, or is rolled back.

Shares of requests are compared by their Wilson intervals at `SURE` standard errors, because they are looked at every
few seconds. The challenger is rolled back only if it is surely beyond the limit *and* surely worse than the champion in
the same time: a busy machine or a broken dependency hits both models. Without an answer of the champion, which has few
users late in a rollout, the limit alone decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, log1p, sqrt

from infra.evaluation.rollout_config import RolloutConfig
from infra.evaluation.sequential import Arm

SURE = 3.5
FEWEST_GROUPS = 30
"""requests with labels without which calibrations are not compared"""
SLOW = 0.01
"""share of requests that may be slower than the latency budget, which is one of the 99th percentile"""


@dataclass(frozen=True)
class Requests:
    """Requests of one model: `total`, of which so many failed, were degraded, or were slower than the budget."""

    total: int = 0
    failed: int = 0
    degraded: int = 0
    slow: int = 0


def broken_by_requests(new: Requests, old: Requests, config: RolloutConfig) -> str:
    """Why the challenger's requests are beyond a guardrail, or an empty text."""
    for name, limit, what in (
        ("failed", config.guard_failures, "of its requests fail"),
        ("degraded", config.guard_failures, "of its answers are degraded"),
        ("slow", SLOW, "of its answers exceed the latency budget"),
    ):
        low, _ = wilson(getattr(new, name), new.total)
        _, usual = wilson(getattr(old, name), old.total) if old.total else (0.0, 0.0)
        if low > max(limit, usual):
            share = getattr(new, name) / new.total
            before = getattr(old, name) / old.total if old.total else 0.0
            return f"{share:.1%} {what}, {before:.1%} of the champion's"
    return ""


def broken_by_calibration(calibration: Mapping[str, tuple[float, float, int]], config: RolloutConfig) -> str:
    """Why the challenger's calibration is beyond its guardrail, or an empty text. "new" and "old" map to (ratio,
    standard error, requests with labels). Only a ratio that is farther from 1 than the champion's is worse: after a
    drift, the champion's is the one that is off."""
    if not {"new", "old"} <= set(calibration):
        return ""
    (ratio, error, groups), (usual, noise, others) = calibration["new"], calibration["old"]
    if min(groups, others) < FEWEST_GROUPS or usual <= 0:
        return ""
    is_worse = ratio <= 0 or abs(log(ratio)) - abs(log(usual)) > log1p(config.guard_calibration)
    if is_worse and abs(ratio - usual) > SURE * sqrt(error**2 + noise**2):
        return f"its calibration is {ratio:.2f}, the champion's {usual:.2f}"
    return ""


def broken_by_sessions(new: Arm, old: Arm, high: float, measure: str, config: RolloutConfig) -> str:
    """Why the online metric is beyond its guardrail, or an empty text. `high` is the upper end of the always-valid
    interval of the difference of the means. A challenger that still looks worse after `canary_patience` times the
    sessions of a step is not shown to be worse, but nothing is lost if the champion stays."""
    seen = f"{measure}: {new.mean:.3g} in {new.n:,} sessions, the champion's {old.mean:.3g}"
    if high < -config.guard_loss * abs(old.mean):
        return f"{seen}; surely worse"
    if new.n >= config.canary_sessions * config.canary_patience and looks_worse(new, old, config):
        return f"{seen}; it still looks worse"
    return ""


def looks_worse(new: Arm, old: Arm, config: RolloutConfig) -> bool:
    """Whether the challenger's mean is below the limit by more than one standard error: a sign, but no proof."""
    error = sqrt(sum(arm.variance / max(arm.n, 1) for arm in (new, old)))
    return new.mean < old.mean - config.guard_loss * abs(old.mean) - error


def next_share(share: float, new: Arm, old: Arm, config: RolloutConfig) -> float | None:
    """The share of users of the next step, 1.0 for all users. None if the present step goes on: it has too few
    sessions, all of them are worth nothing with both models (ads whose budgets are spent), or the challenger looks
    worse."""
    if new.n < config.canary_sessions or not (new.squares or old.squares) or looks_worse(new, old, config):
        return None
    return next((step for step in config.shares if step > share + 1e-9), 1.0)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The Wilson interval of a share at `SURE` standard errors; (0, 1) without requests."""
    if not total:
        return 0.0, 1.0
    share, z2 = hits / total, SURE**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = SURE * sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return (max(middle - half, 0.0) if hits else 0.0), (min(middle + half, 1.0) if hits < total else 1.0)
