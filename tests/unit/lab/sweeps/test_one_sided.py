"""`lab sweep` prints a note below its finding when the world shows only one side of a trade-off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from feed_ranking.evaluation.sweeps import SWEEPS
from infra.evaluation.experiment import per_case
from infra.registry import mlflow_runs
from lab.cli import app
from lab.sweeps import charts, run
from lab.sweeps.run import Setting


def setting(ads: int) -> Setting:
    measures = {"ads": float(ads), "value_against_default": -3.0 * ads}
    scores = {name: per_case(name, name, "", np.full(20, value)) for name, value in measures.items()}
    return Setting({"ads": ads, "ad_gap": 6}, 5.0, 9.0, 4.0, 0.0, scores)


def test_one_sided_sweep_is_marked_below_its_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_sweep", lambda *_: [setting(1), setting(3)])
    monkeypatch.setattr(charts, "draw", lambda *_, **__: None)
    monkeypatch.setattr(charts, "save", lambda *_: None)
    monkeypatch.setattr(mlflow_runs, "log_sweep", lambda *_: None)
    done = CliRunner().invoke(
        app, ["sweep", "feed_ranking", "ads"], env={"LAB_HOME": str(tmp_path)}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    (ads,) = (sweep for sweep in SWEEPS if sweep.name == "ads")
    finding = next(tmp_path.rglob("finding.txt")).read_text()
    shown = " ".join(done.stdout.split())
    assert f"{' '.join(finding.split())} {ads.one_sided}" in shown
