"""The supervisor reacts to the exit status of a build, and describes the replicas of a service."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.registry.release import Release
from infra.settings import Settings
from lab.commands.running import status
from lab.designs import find_design, load_designs
from lab.services.client import find_replicas, service_url
from lab.services.monitor.scrape import running_targets
from lab.services.ports import MOST_REPLICAS, monitor_port_of
from lab.services.runstate import Running, RunState
from lab.services.serving import serve_design
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


def test_single_replica_opens_the_port_of_its_design(tmp_path: Path) -> None:
    (only,) = Supervisor(Settings(home=tmp_path, preset="smoke", port=20_000), [DESIGN])._replicas(DESIGN)
    assert (only.name, only.url, only.own_url, only.sockets) == (DESIGN.name, "http://127.0.0.1:20000", "", ())


def test_replicas_share_a_listening_socket_and_have_ports_of_their_own(tmp_path: Path, free_port: int) -> None:
    running = Supervisor(Settings(home=tmp_path, preset="smoke", port=free_port), [DESIGN], replicas=2)
    first, second = running._replicas(DESIGN)
    try:
        assert (first.name, second.name) == ("feed_ranking", "feed_ranking-2")
        assert first.url == second.url == f"http://127.0.0.1:{free_port}"
        assert [one.own_url for one in (first, second)] == [
            f"http://127.0.0.1:{port}" for port in (free_port + 2, free_port + 3)
        ]
        assert first.sockets == second.sockets == (running.sockets[0].fileno(),)
        assert first.command[-2:] == ("1", str(running.sockets[0].fileno()))
        with socket.create_connection(("127.0.0.1", free_port), timeout=5):
            pass  # connections wait in the socket while no replica accepts
    finally:
        running.sockets[0].close()


def test_ports_of_all_replicas_of_all_designs_differ(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    designs = load_designs()
    running = Supervisor(settings, designs, replicas=MOST_REPLICAS)
    ports = [port for design in designs for port in running._ports(design)]
    assert len(set(ports)) == len(designs) * (2 + MOST_REPLICAS)
    assert monitor_port_of(settings) not in ports


def test_monitor_and_faults_find_each_replica(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    this = Running.of("supervisor", os.getpid())
    replicas = [
        replace(this, name=name, url="http://127.0.0.1:8010", own_url=f"http://127.0.0.1:{port}", design=DESIGN.name)
        for name, port in (("feed_ranking", 8012), ("feed_ranking-2", 8013))
    ]
    worker = replace(this, name="feed_ranking-worker", url="http://127.0.0.1:8011")
    RunState(this, (worker, *replicas)).write(settings)
    assert service_url(DESIGN, settings) == "http://127.0.0.1:8010"
    assert find_replicas(DESIGN, settings) == {
        "feed_ranking": "http://127.0.0.1:8012",
        "feed_ranking-2": "http://127.0.0.1:8013",
    }
    targets = running_targets(settings)
    assert {target.labels["design"] for target in targets} == {"feed_ranking"}
    assert [target.url for target in targets] == [f"http://127.0.0.1:{port}" for port in (8011, 8012, 8013)]


def test_replica_that_is_left_out_gets_no_fault_and_status_shows_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    this = Running.of("supervisor", os.getpid())
    gone = Running("feed_ranking", 2**22 + 1, 0.0, "http://127.0.0.1:8010", "http://127.0.0.1:8012", DESIGN.name)
    out, other = replace(gone, out="broken"), replace(gone, name="feed_ranking-2", own_url="http://127.0.0.1:8013")
    RunState(this, (out, other)).write(settings)
    assert find_replicas(DESIGN, settings) == {"feed_ranking-2": "http://127.0.0.1:8013"}
    assert [target.url for target in running_targets(settings)] == ["http://127.0.0.1:8012", "http://127.0.0.1:8013"]
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    status(preset="smoke", as_json=True)
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["out: broken", "down"]


def test_replica_without_a_release_accepts_no_connection(tmp_path: Path) -> None:
    """A single service may wait for its release and answer 503. A replica would take requests from the others."""
    settings = Settings(home=tmp_path, preset="smoke", wait_for_release=True)
    with pytest.raises(UsageError, match="has not been built"):
        serve_design(DESIGN, settings, replica=2, shared=-1)
