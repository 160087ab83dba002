"""Knobs of a rollout: how a challenger that has passed the gate gets its users, and what stops it."""

from __future__ import annotations

from dataclasses import dataclass

from infra.design import choice, knob


@dataclass(frozen=True)
class RolloutConfig:
    """`infra.evaluation.guardrails` reads the limits. The limit of the latency is the design's own budget."""

    shadow_share: float = knob(
        0.2, unit="", low=0.0, high=1.0, trades="more: the shadow ends sooner, the service computes more"
    )
    shadow_requests: int = knob(
        200, unit="requests", low=0, high=100_000, trades="more: a surer check before users see the model, later"
    )
    canary_steps: str = choice(
        "1, 5, 25", ("1, 5, 25", "5, 25", "20, 50", "50"), trades="more steps: fewer users see a bad model"
    )
    canary_sessions: int = knob(
        300, unit="sessions", low=10, high=1_000_000, trades="more: smaller losses are noticed, each step takes longer"
    )
    canary_patience: int = knob(
        5,
        unit="steps",
        low=1,
        high=100,
        trades="more: a good model that looked worse by chance passes, bad ones stay longer",
    )
    guard_failures: float = knob(
        0.01, unit="", low=0.001, high=1.0, trades="higher: fewer rollbacks by chance, more failed requests"
    )
    guard_calibration: float = knob(
        0.5, unit="", low=0.01, high=10.0, trades="higher: fewer rollbacks, a worse calibration reaches all users"
    )
    guard_loss: float = knob(
        0.0, unit="", low=0.0, high=1.0, trades="higher: a surely worse model passes if it loses less than this share"
    )
    guard_alpha: float = knob(
        0.05, unit="", low=0.0001, high=0.5, trades="higher: a worse model is noticed sooner, good ones are stopped"
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """The canary's shares of users, ascending. After the last one the challenger becomes the champion."""
        return tuple(float(step) / 100 for step in self.canary_steps.split(","))
