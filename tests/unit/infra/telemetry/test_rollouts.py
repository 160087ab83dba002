"""The monitor exports how far the newest rollout of each design is."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from infra.registry.rollout import Rollout, Stage, read_rollout, write_rollout
from infra.settings import Settings
from infra.telemetry.rollouts import RolloutMetrics


def exported(settings: Settings, stage: Stage, share: float) -> str:
    root = settings.design_root("tiny")
    written = write_rollout(root, read_rollout(root), Rollout(stage=stage, share=share, version=7, since=5.0))
    assert written is not None
    registry = CollectorRegistry()
    registry.register(RolloutMetrics(["tiny", "absent"], settings))
    return str(generate_latest(registry).decode())


def test_stage_and_share_of_users_are_exported(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    for stage, share, active, users, back in (
        ("shadow", 0.5, 1.0, 0.0, 0.0),
        ("canary", 0.2, 1.0, 0.2, 0.0),
        ("promoted", 1.0, 0.0, 1.0, 0.0),
        ("rolled back", 0.0, 0.0, 0.0, 1.0),
    ):
        text = exported(settings, stage, share)  # type: ignore[arg-type]
        assert f'lab_rollout_active{{design="tiny"}} {active}' in text
        assert f'lab_rollout_users_share{{design="tiny"}} {users}' in text
        assert f'lab_rollout_rolled_back{{design="tiny"}} {back}' in text
        assert 'lab_rollout_model_version{design="tiny"} 7.0' in text
        assert "absent" not in text
