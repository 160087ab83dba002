"""The commands of a first session with the lab work as printed and documented."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from infra.settings import REPOSITORY
from tests.conftest import ENVIRONMENT
from tests.e2e.conftest import Lab, run_lab


def test_printed_curl_command_returns_a_slate(lab: Lab) -> None:
    (line,) = [line for line in lab.welcome.splitlines() if "curl -s" in line]
    command = line[line.index("curl -s") :]
    output = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=120, check=True).stdout
    assert len(json.loads(output)["slate"]) == 10


def test_printed_lab_commands_run(lab: Lab) -> None:
    commands = [line[line.index(".venv/bin/lab") :] for line in lab.welcome.splitlines() if ".venv/bin/lab" in line]
    assert len(commands) == 4
    for command in commands:
        if " load " in command:
            continue  # test_load runs it
        if " live " in command:
            command += " --seconds 3"  # otherwise it runs until Ctrl-C
        done = subprocess.run(
            shlex.split(command), env=lab.environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    lab.run("fault", "feed_ranking", "feature_store", "clear")


def test_ask_shows_the_slate_and_its_trace(lab: Lab) -> None:
    shown = lab.run("ask", "feed_ranking", "--user", "7", "--k", "3")
    for word in ("post_id", "Trace", "heavy_ranker", "cut", "ms in all stages"):
        assert word in shown
    answer = lab.run(
        "ask", "feed_ranking", "--user=7", "--k=3", "--knob", "creator_cap=1", "--knob", "ads=0", "--json", parse=True
    )
    assert len({item["creator_id"] for item in answer["slate"]}) == 3


def test_ask_refuses_invalid_options(lab: Lab) -> None:
    assert "--user" in lab.run("ask", "feed_ranking", "--usr", "7", code=2)
    assert "number" in lab.run("ask", "feed_ranking", "--user", "seven", code=2)
    assert "200" in lab.run("ask", "feed_ranking", "--k", "201", code=2)
    assert "feed_ranking" in lab.run("ask", "food_ranking", code=2)


def test_status_and_designs_print_json(lab: Lab) -> None:
    broker, worker, row, monitor = lab.run("status", "--json", parse=True)
    assert (broker["service"], broker["state"]) == ("stream", "up")
    assert (worker["service"], worker["state"]) == ("feed_ranking-worker", "up")
    assert (row["service"], row["state"], row["url"]) == ("feed_ranking", "ready", lab.url)
    assert 100 < row["pss_mb"] < 400
    assert (monitor["service"], monitor["state"]) == ("monitor", "up")
    assert 10 < monitor["pss_mb"] < 120, "it imports no feature store, registry or model"
    feed, ads, rides = lab.run("designs", "--json", parse=True)
    assert [design["budgets"]["p99_ms"] for design in (feed, ads, rides)] == [200, 10, 50]


def test_doctor_passes_every_check(lab: Lab) -> None:
    findings = {item["check"]: item for item in lab.run("doctor", "--json", parse=True)}
    assert all(item["ok"] for item in findings.values()), findings


def test_second_lab_up_reports_the_running_service(lab: Lab) -> None:
    printed = lab.run("up", "feed_ranking")
    assert "already running" in printed
    assert lab.url in printed


def test_build_skips_finished_steps(lab: Lab) -> None:
    """Uses the home without live data, because live data makes a build run again."""
    done = run_lab("build", "feed_ranking", "--json", environment=ENVIRONMENT)
    assert all(run["skipped"] for run in json.loads(done.stdout)), done.stderr
    assert "no step" in lab.run("build", "feed_ranking", "--from", "nowhere", code=2)


def test_bench_refuses_an_unknown_figure(lab: Lab) -> None:
    assert "serve_pss_mb" in lab.run("bench", "feed_ranking", "--only", "beauty", code=2)


@pytest.mark.skipif(sys.platform == "darwin", reason="only root may read the stacks of another process")
def test_profile_shows_the_cpu_time_of_stages_and_writes_a_flame_graph(lab: Lab, tmp_path: Path) -> None:
    words = ("profile", "feed_ranking", "--users", "3", "--seconds", "5", "--out", str(tmp_path), "--json")
    found = lab.run(*words, parse=True)
    assert found["requests"] > 0
    service = next(one for one in found["processes"] if one["process"] == "feed_ranking")
    assert "feed_ranking-worker" in {one["process"] for one in found["processes"]}
    assert sum(service["parts"].values()) == pytest.approx(service["cpu_ms_per_request"])
    stages = [part for part in service["parts"] if part.startswith("feed_ranking/online/")]
    assert stages, "a busy machine answers few requests, so no certain stage has a sample for sure"
    assert f"({stages[0]}.py)" in (tmp_path / "flame.html").read_text()


def test_profile_without_a_lab_names_the_command_that_starts_one(lab: Lab, tmp_path: Path) -> None:
    assert "lab up" in lab.run("profile", "ctr_prediction", "--out", str(tmp_path), code=4)


def test_service_listens_on_localhost_only(lab: Lab) -> None:
    import psutil

    listening = [c.laddr[0] for c in psutil.Process(lab.service_pid).net_connections() if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_large_body_is_refused_over_a_real_socket(lab: Lab) -> None:
    response = httpx.post(f"{lab.url}/v1/feed", content=b"x" * 10_000_000, timeout=120)
    assert response.status_code == 413
    endless = httpx.post(f"{lab.url}/v1/feed", content=(b"x" * 10_000 for _ in range(1000)), timeout=120)
    assert endless.status_code == 413
    assert httpx.get(f"{lab.url}/healthz", timeout=120).status_code == 200


def test_schemathesis_finds_no_server_error(lab: Lab, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{lab.url}/openapi.json"]
    command += ["--checks", checks, "--max-examples", "40", "--seed", "7", "--exclude-path-regex", "/v1/faults"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("words", [["--help"], ["ask", "--help"], ["bench", "-h"]])
def test_help_prints_usage(words: list[str], lab: Lab) -> None:
    assert "Usage" in lab.run(*words)


def test_drills_are_listed_and_refused_without_a_service(lab: Lab, free_port: int) -> None:
    assert "feature_store_down" in {row["name"] for row in lab.run("drills", "--json", parse=True)}
    assert "feature_store_down" in lab.run("drill", "nonsense", code=2)
    unused_url = f"http://127.0.0.1:{free_port}"
    assert "lab up" in lab.run("drill", "feature_store_down", "--url", unused_url, code=4)
