"""What the compose file promises of every service, read from `docker compose config`; no engine is needed for that."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from infra.settings import REPOSITORY
from infra.stream.kafka_client import PARTITIONS
from lab.designs import load_designs

FILE = REPOSITORY / "docker-compose.yml"
ONE_SHOT = {"setup", "build", "ads-build"}
ADS = ("ads-build", "ads", "ads-worker")
MAY_ADD = {"setup": ["DAC_OVERRIDE"]}


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


@cache
def config() -> dict[str, Any]:
    if not has_compose():
        pytest.skip("docker compose is not installed")
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def raw() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


SERVICES = sorted(raw()["services"])


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, config()["services"][request.param]


def test_the_file_names_no_version_and_builds_in_a_fresh_clone() -> None:
    assert "version" not in raw()
    assert config()["name"] == "ml-system-design-lab"
    assert (REPOSITORY / "Dockerfile").exists()


def test_it_may_do_next_to_nothing_to_its_host(service: tuple[str, dict[str, Any]]) -> None:
    name, told = service
    assert told["cap_drop"] == ["ALL"]
    assert told.get("cap_add", []) == MAY_ADD.get(name, [])
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["read_only"]
    assert not told.get("privileged")
    assert told.get("network_mode") in (None, "none")


def test_it_has_bounds(service: tuple[str, dict[str, Any]]) -> None:
    _, told = service
    assert int(told["mem_limit"]) > 0
    assert told["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert _seconds(told["stop_grace_period"]) < 10


def test_servers_are_watched_and_started_again_and_one_shots_are_not(service: tuple[str, dict[str, Any]]) -> None:
    name, told = service
    assert told["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert ("healthcheck" in told) == (name not in ONE_SHOT)


def test_what_is_published_is_published_on_this_machine_only(service: tuple[str, dict[str, Any]]) -> None:
    _, told = service
    assert all(port["host_ip"] == "127.0.0.1" for port in told.get("ports", []))


def test_no_password_stands_in_the_file(service: tuple[str, dict[str, Any]]) -> None:
    _, told = service
    for name, value in (told.get("environment") or {}).items():
        if "PASSWORD" in name or "SECRET" in name:
            assert name.endswith("_FILE"), name
            assert value.startswith("/run/")


def test_data_lies_in_named_volumes_and_code_is_mounted_read_only(service: tuple[str, dict[str, Any]]) -> None:
    _, told = service
    for volume in told.get("volumes", []):
        if volume["type"] == "bind":
            assert volume["read_only"]
        else:
            assert volume["source"] in config()["volumes"]


DECLARED = {
    "postgres": ["/var/lib/postgresql/data"],
    "redis": ["/data"],
    "prom/prometheus": ["/prometheus"],
    "apache/kafka": ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"],
}
"""the places where an image asks for a volume; with nothing there, every start would leave a nameless one"""


def test_no_service_leaves_a_nameless_volume_behind(service: tuple[str, dict[str, Any]]) -> None:
    _, told = service
    mounted = {volume["target"] for volume in told.get("volumes", [])}
    mounted |= {entry.partition(":")[0] for entry in told.get("tmpfs", [])}
    assert set(DECLARED.get(told["image"].partition(":")[0], [])) <= mounted


def test_the_stream_is_bounded_and_the_feed_starts_without_it() -> None:
    services = config()["services"]
    broker = services["kafka"]
    assert "ports" not in broker
    assert "-Xmx256m" in broker["environment"]["KAFKA_HEAP_OPTS"]
    assert int(broker["mem_limit"]) <= 640 * 2**20
    lines = [
        line for line in (REPOSITORY / "infra/deploy/kafka/server.properties").read_text().splitlines() if "=" in line
    ]
    told = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert told["auto.create.topics.enable"] == "false"
    assert int(told["num.partitions"]) == PARTITIONS
    assert int(told["log.retention.bytes"]) + int(told["log.segment.bytes"]) < 300_000_000
    host, _, port = services["feed"]["environment"]["LAB_STREAM"].partition(":")
    assert told["advertised.listeners"] == f"CLIENTS://{host}:{port}"
    assert host == "kafka"
    assert "kafka" not in services["feed"]["depends_on"]
    assert "kafka" in services["worker"]["depends_on"]


def test_images_have_a_tag_that_does_not_move(service: tuple[str, dict[str, Any]]) -> None:
    _, told = service
    if "build" not in told:
        assert ":" in told["image"]
        assert not told["image"].endswith(":latest")


def test_what_is_waited_for_is_healthy_or_has_ended_well() -> None:
    conditions = {
        (name, needed): told["condition"]
        for name, service in config()["services"].items()
        for needed, told in service.get("depends_on", {}).items()
    }
    assert {name for (name, needed) in conditions if needed == "setup"} >= {"redis", "postgres"}
    for (_, needed), condition in conditions.items():
        assert condition == ("service_completed_successfully" if needed in ONE_SHOT else "service_healthy")
    assert ("feed", "build") not in conditions, "the feed says that it waits, instead of not being there"


def test_every_design_has_a_service_on_its_port() -> None:
    published = {int(port["target"]) for service in config()["services"].values() for port in service.get("ports", [])}
    assert {design.port for design in load_designs()} <= published


def test_dashboards_load_and_the_ads_come_only_when_asked_for() -> None:
    profiles = {name: service.get("profiles", []) for name, service in raw()["services"].items()}
    assert {name for name, found in profiles.items() if found} == {"grafana", "locust", *ADS}
    assert all(profiles[name] == ["ads"] for name in ADS)


def _seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])
