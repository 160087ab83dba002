"""The supervisor reacts to the exit status of a build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.registry.release import Release
from infra.settings import Settings
from lab.designs import find_design
from lab.services.supervisor import Supervisor

DESIGN = find_design("feed_ranking")


def supervisor(tmp_path: Path, *, released: bool) -> Supervisor:
    settings = Settings(home=tmp_path, preset="smoke")
    if released:
        step = settings.design_root(DESIGN.name) / "release"
        step.mkdir(parents=True)
        Release(DESIGN.name, "feed_ranking-smoke", 3, "digest", "model", "index", "features", 0.0).write(step)
        (settings.design_root(DESIGN.name) / "current.json").write_text(json.dumps({"release": str(step)}))
    return Supervisor(settings, [DESIGN])


def test_successful_build_is_accepted(tmp_path: Path) -> None:
    supervisor(tmp_path, released=False)._accept(DESIGN, 0)


def test_rejected_model_keeps_the_old_release_serving(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    supervisor(tmp_path, released=True)._accept(DESIGN, 3)
    assert "refused the new model; serving feed_ranking-smoke version 3" in capfd.readouterr().err


@pytest.mark.parametrize(("status", "released"), [(3, False), (1, True), (4, True), (143, True)])
def test_failed_build_ends_the_supervisor_with_its_exit_code(tmp_path: Path, status: int, released: bool) -> None:
    with pytest.raises(SystemExit) as caught:
        supervisor(tmp_path, released=released)._accept(DESIGN, status)
    assert caught.value.code == status
