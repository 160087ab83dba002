"""Experiments on the smoke world rank the models as expected, and a sweep builds variants and writes its outputs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from feed_ranking.design import DESIGN
from infra.build.fingerprints import step_paths
from infra.design import resolve
from infra.evaluation.experiment import Sweep
from infra.evaluation.figures import Figure
from infra.registry.mlflow_registry import MlflowRegistry
from infra.settings import Settings
from lab.cli import app
from lab.sweeps.open import open_judge, open_player
from lab.sweeps.run import run_sweep


@pytest.fixture(scope="module")
def figures(settings: Settings) -> dict[str, Figure]:
    player = open_player(DESIGN, settings, step_paths(DESIGN, settings)["release"])
    measured = resolve(DESIGN.quality)(player, open_judge(DESIGN, settings), lambda *_: None, cases=120)
    return {figure.id: figure for figure in measured}


def test_captured_value_rises_from_random_to_the_heavy_ranker(figures: dict[str, Figure]) -> None:
    rungs = [figures[f"captured_value{name}"].value for name in ("_random", "_popularity", "_light", "")]
    assert rungs == sorted(rungs)
    assert abs(rungs[0]) < 0.1
    assert rungs[-1] < 1


def test_pool_recall_exceeds_every_source_and_retrieval_loss_is_small(figures: dict[str, Figure]) -> None:
    sources = ("follow", "interest", "trending", "fresh")
    assert figures["recall_pool"].value >= max(figures[f"recall_{name}"].value for name in sources)
    assert 0 <= figures["retrieval_loss"].value < 0.1


def test_exploration_and_ads_have_a_cost(figures: dict[str, Figure]) -> None:
    assert figures["exploration_cost"].low > 0
    assert figures["ads_cost"].low > 0


def test_judge_cases_are_reproducible_and_pools_hold_only_live_posts(settings: Settings) -> None:
    judge = open_judge(DESIGN, settings)
    users = judge.cases(50)
    assert len(set(users)) == 50
    np.testing.assert_array_equal(users, open_judge(DESIGN, settings).cases(50))
    player = open_player(DESIGN, settings, step_paths(DESIGN, settings)["release"])
    plays = [player.play(user, {"epsilon": 0.0, "ads": 0}) for user in users]
    alive = set(judge.alive().tolist())  # type: ignore[attr-defined]
    assert all(set(play.answer.pool.tolist()) <= alive for play in plays)
    assert all(not play.degraded for play in plays)


def test_fault_of_a_play_ends_with_the_play(settings: Settings) -> None:
    player = open_player(DESIGN, settings, step_paths(DESIGN, settings)["release"])
    assert player.play(3, {}, ("heavy_ranker",)).degraded == ["heavy_ranker_unavailable"]
    assert player.play(3, {}).degraded == []


def test_variant_build_leaves_the_served_build_unchanged(settings: Settings) -> None:
    pointer = settings.design_root(DESIGN.name) / "current.json"
    before = pointer.read_text()
    results = run_sweep(DESIGN, settings, Sweep("own", "", {"index": ["flat", "ivf"]}, requests=25))
    assert [setting.label for setting in results] == ["index=flat", "index=ivf"]
    assert pointer.read_text() == before
    ivf, flat = (step_paths(DESIGN, settings, turned) for turned in ({"index": "ivf"}, {}))
    assert ivf["train"] == flat["train"]
    assert ivf["index"] != flat["index"]
    assert json.loads((ivf["index"] / "snapshot" / "manifest.json").read_text())["meta"]["index"] == "ivf"


def test_sweep_writes_table_chart_finding_and_mlflow_runs(settings: Settings, tmp_path: Path) -> None:
    command = ["sweep", DESIGN.name, "--vary", "heavy_top_k=0,100", "--requests", "25", "--publish", str(tmp_path)]
    environment = {"LAB_HOME": str(settings.home), "LAB_PRESET": settings.preset}
    done = CliRunner().invoke(app, [*command, "--json"], env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    rows = list(csv.DictReader((tmp_path / "own.csv").open()))
    assert [row["heavy_top_k"] for row in rows] == ["0", "100"]
    assert float(rows[1]["captured_value"]) > float(rows[0]["captured_value"])
    assert all(float(row["captured_value_low"]) <= float(row["captured_value"]) for row in rows)
    assert answer["finding"] == (tmp_path / "own.txt").read_text().strip()
    assert "<svg" in (tmp_path / "own.svg").read_text()
    html = (Path(answer["directory"]) / "chart.html").read_text()
    assert "<script src=" not in html, "the page must not need a network"
    assert (Path(answer["directory"]) / "chart.png").read_bytes().startswith(b"\x89PNG")
    client = MlflowRegistry(settings).client
    experiment = client.get_experiment_by_name(f"{DESIGN.name}-{settings.preset}-sweeps")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=3)
    assert sum("mlflow.parentRunId" in run.data.tags for run in runs) >= 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--vary", "nothing=1,2"], "no knob"),
        (["--vary", "heavy_top_k"], "not NAME=VALUE"),
        (["--vary", "workers=1,2"], "does not change the responses"),
        (["hydration"], "needs a build with naive-hydration"),
        (["no_such_sweep"], "has no sweep"),
    ],
)
def test_invalid_sweep_is_refused(settings: Settings, arguments: list[str], says: str) -> None:
    environment = {"LAB_HOME": str(settings.home), "LAB_PRESET": settings.preset}
    done = CliRunner().invoke(app, ["sweep", DESIGN.name, *arguments], env=environment)
    assert done.exception is not None
    assert says in str(done.exception)
