"""Airflow reads the DAGs, runs one smoke build by tasks, and starts a retraining by an event.

The tests run with the lab's environment and start Airflow's programs, which have an environment of their own
(`make airflow-env`). Airflow uses SQLite and a home of its own, and calls nothing outside.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.build.current import is_built
from infra.build.fingerprints import step_paths
from infra.build.tasks import tasks_of
from infra.registry.release import read_release
from infra.settings import REPOSITORY, Settings
from lab.designs import load_designs

PROGRAMS = REPOSITORY / ".venv-airflow" / "bin"
DEPLOYED = REPOSITORY / "infra" / "deploy" / "airflow"
DESIGNS = {design.name: design for design in load_designs()}
CHEAPEST = "eta_prediction"
"""of the designs' smoke builds: 42 CPU-seconds, like the feed's, and a release that needs no index of vectors"""
DAY = "2026-11-30"
pytestmark = pytest.mark.skipif(not PROGRAMS.exists(), reason="no Airflow here: run `make airflow-test`")


@dataclass(frozen=True)
class Airflow:
    """Airflow with a database and a home of its own. `lab` is the program that its tasks run."""

    home: Path
    lab: Path = REPOSITORY / ".venv" / "bin" / "lab"

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home / "lab", preset="smoke")

    @property
    def database(self) -> Path:
        return self.home / "airflow.db"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR", "LANG") if name in os.environ}
        return kept | {
            "PYTHONPATH": str(REPOSITORY),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW_CONFIG": str(DEPLOYED / "airflow.cfg"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOYED / "dags"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "AIRFLOW__API__SECRET_KEY": "only for this test",
            "AIRFLOW__API_AUTH__JWT_SECRET": "only for this test, and long enough for the signature of a token",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "LAB_EXECUTABLE": str(self.lab),
            "LAB_HOME": str(self.home / "lab"),
            "LAB_PRESET": "smoke",
        }

    def run(self, *words: str, timeout_s: float = 600) -> str:
        """Run a program of Airflow's environment and return its output."""
        done = subprocess.run(
            [str(PROGRAMS / words[0]), *words[1:]],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout + done.stderr

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(self.database)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def states(self, dag: str) -> dict[str, str]:
        """Task -> state of the tasks of the newest run of a DAG."""
        return dict(
            self.rows(
                "SELECT task_id, state FROM task_instance WHERE run_id = (SELECT run_id FROM dag_run"
                f" WHERE dag_id = '{dag}' ORDER BY id DESC LIMIT 1) AND dag_id = '{dag}'"
            )
        )


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    found = Airflow(tmp_path_factory.mktemp("airflow"))
    found.run("airflow", "db", "migrate")
    found.run("airflow", "pools", "set", "training", "1", "as in setup.sh")
    return found


@pytest.fixture(scope="module")
def described(airflow: Airflow) -> dict[str, Any]:
    printed = airflow.run("python", str(REPOSITORY / "tests" / "airflow" / "describe_dags.py"))
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def test_dags_import_without_errors_and_without_the_packages_of_the_lab(described: dict[str, Any]) -> None:
    assert described["errors"] == {}
    assert described["lab_modules"] == []
    retrainings = {f"{name}_retraining" for name in DESIGNS}
    assert described["dags"].keys() == {*DESIGNS, *retrainings, "watch"}


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("suffix", ["", "_retraining"])
def test_edges_of_a_dag_are_those_of_the_design(described: dict[str, Any], name: str, suffix: str) -> None:
    dag = described["dags"][name + suffix]
    steps = {step.name: step for step in DESIGNS[name].steps if not step.option}
    assert dag["tasks"] == {step.name: sorted(set(step.after) & steps.keys()) for step in steps.values()}
    assert {task for task, pool in dag["pools"].items() if pool == "training"} == {
        step.name for step in steps.values() if step.trains
    }
    assert (dag["retries"], dag["max_active_tasks"], dag["catchup"], dag["paused"]) == ([2], 1, False, True)


def test_retraining_waits_for_the_event_of_the_watch(described: dict[str, Any]) -> None:
    outlets = described["dags"]["watch"]["outlets"]
    assert outlets.keys() == DESIGNS.keys()
    for name in DESIGNS:
        assert described["dags"][f"{name}_retraining"]["waits_for"] == outlets[name]
        assert (described["dags"][name]["waits_for"], described["dags"][name]["schedule"]) == ([], "@daily")


def test_exit_codes_of_the_lab_decide_about_retries(described: dict[str, Any]) -> None:
    failed, again, skipped = "AirflowFailException", "AirflowException", "AirflowSkipException"
    build = {"0": "done", "2": failed, "3": failed, "6": failed, "8": failed}
    check = {"10": "done", "0": skipped, "2": failed, "3": failed, "6": failed, "8": failed}
    assert described["build_endings"] == {code: build.get(code, again) for code in described["build_endings"]}
    assert described["check_endings"] == {code: check.get(code, again) for code in described["check_endings"]}


@pytest.mark.timeout(1200)
def test_run_of_the_cheapest_design_publishes_a_release_and_builds_nothing_twice(airflow: Airflow) -> None:
    design = DESIGNS[CHEAPEST]
    log = airflow.run("airflow", "dags", "test", CHEAPEST, DAY, timeout_s=1100)
    assert set(airflow.states(CHEAPEST).values()) == {"success"}, log[-3000:]
    assert read_release(airflow.settings.design_root(CHEAPEST)).model_version == 1
    assert is_built(design, airflow.settings)
    for name, output in step_paths(design, airflow.settings).items():
        assert list(output.parent.iterdir()) == [output], name
    assert "up to date" not in log, "each step ran in the task of its name"
    assert "trips" in log, "the log shows the figures of a step"


def fake_lab(place: Path, body: str) -> Path:
    """A program in place of `lab` that notes its arguments, one line per call, and runs `body`."""
    path = place / "lab"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n"
        f"with Path({str(place / 'calls')!r}).open('a') as calls:\n    print(sys.argv[1:], file=calls)\n{body}\n"
    )
    path.chmod(0o755)
    return path


def test_due_check_is_an_event_and_another_check_is_none(airflow: Airflow, tmp_path: Path) -> None:
    lab = fake_lab(tmp_path, f"sys.exit(10 if sys.argv[2] == {CHEAPEST!r} else 0)")
    watching = Airflow(airflow.home, lab)
    watching.run("airflow", "dags", "test", "watch", DAY)
    states = watching.states("watch")
    assert states == {name: "success" if name == CHEAPEST else "skipped" for name in DESIGNS}
    events = watching.rows("SELECT asset.name FROM asset_event JOIN asset ON asset.id = asset_event.asset_id")
    assert events == [(f"{CHEAPEST}_retraining_due",)]
    assert f"['retrain', '{CHEAPEST}', '--check']" in (tmp_path / "calls").read_text()


def test_steps_get_the_date_of_the_run_and_its_id_if_it_forces_them(airflow: Airflow, tmp_path: Path) -> None:
    forcing = Airflow(airflow.home, fake_lab(tmp_path, ""))
    began = datetime.now(UTC)
    forcing.run("airflow", "dags", "test", CHEAPEST, DAY, "--conf", '{"force": true}')
    calls = (tmp_path / "calls").read_text().splitlines()
    (run_id,) = forcing.rows(f"SELECT run_id FROM dag_run WHERE dag_id = '{CHEAPEST}' ORDER BY id DESC LIMIT 1")[0]
    assert len(calls) == len(tasks_of(DESIGNS[CHEAPEST]))
    assert all(f"'--force', '{run_id}'" in call for call in calls)
    today = [f"'--as-of', '{when:%Y-%m-%d}'" for when in (began, datetime.now(UTC))]  # `dags test` runs after now
    assert all(today[0] in call or today[1] in call for call in calls)
