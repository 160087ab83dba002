"""Every service of the compose file meets the rules for security, limits, volumes and health."""

from __future__ import annotations

import configparser
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
from lab.services.composing import ONE_SHOT, PORT_OF

FILE = REPOSITORY / "docker-compose.yml"
PROFILES = {"ads": "ctr_prediction", "eta": "eta_prediction"}
"""profile -> the design that it adds to the feed; `all` adds both"""
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


def test_compose_file_has_a_project_name_and_no_version() -> None:
    assert "version" not in raw()
    assert config()["name"] == "ml-system-design-lab"
    assert (REPOSITORY / "Dockerfile").exists()


def test_service_drops_capabilities_and_has_a_read_only_root(service: tuple[str, dict[str, Any]]) -> None:
    name, options = service
    assert options["cap_drop"] == ["ALL"]
    assert options.get("cap_add", []) == MAY_ADD.get(name, [])
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert options["read_only"]
    assert not options.get("privileged")
    assert options.get("network_mode") in (None, "none")


def test_service_limits_memory_logs_and_stop_time(service: tuple[str, dict[str, Any]]) -> None:
    name, options = service
    assert int(options["mem_limit"]) > 0
    assert options["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert _seconds(options["stop_grace_period"]) < (30 if name == "airflow-scheduler" else 10)


def test_only_long_running_services_have_a_healthcheck_and_a_restart_policy(
    service: tuple[str, dict[str, Any]],
) -> None:
    name, options = service
    assert options["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert ("healthcheck" in options) == (name not in ONE_SHOT)


def test_published_ports_bind_to_localhost_only(service: tuple[str, dict[str, Any]]) -> None:
    _, options = service
    assert all(port["host_ip"] == "127.0.0.1" for port in options.get("ports", []))


def test_passwords_come_from_secret_files(service: tuple[str, dict[str, Any]]) -> None:
    _, options = service
    for name, value in (options.get("environment") or {}).items():
        if "PASSWORD" in name or "SECRET" in name:
            assert name.endswith("_FILE"), name
            assert value.startswith("/run/")


def test_data_is_in_named_volumes_and_bind_mounts_are_read_only(service: tuple[str, dict[str, Any]]) -> None:
    _, options = service
    for volume in options.get("volumes", []):
        if volume["type"] == "bind":
            assert volume["read_only"]
        else:
            assert volume["source"] in config()["volumes"]


DECLARED = {
    "postgres": ["/var/lib/postgresql/data"],
    "redis": ["/data"],
    "prom/prometheus": ["/prometheus"],
    "prom/alertmanager": ["/alertmanager"],
    "apache/kafka": ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"],
}
"""Paths for which an image declares a volume. An unmounted path gets an anonymous volume at every start."""


def test_service_creates_no_anonymous_volume(service: tuple[str, dict[str, Any]]) -> None:
    _, options = service
    mounted = {volume["target"] for volume in options.get("volumes", [])}
    mounted |= {entry.partition(":")[0] for entry in options.get("tmpfs", [])}
    assert set(DECLARED.get(options["image"].partition(":")[0], [])) <= mounted


def test_broker_limits_memory_and_retention_and_the_feed_does_not_depend_on_it() -> None:
    services = config()["services"]
    broker = services["kafka"]
    assert "ports" not in broker
    assert "-Xmx256m" in broker["environment"]["KAFKA_HEAP_OPTS"]
    assert int(broker["mem_limit"]) <= 640 * 2**20
    lines = [
        line for line in (REPOSITORY / "infra/deploy/kafka/server.properties").read_text().splitlines() if "=" in line
    ]
    options = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert options["auto.create.topics.enable"] == "false"
    assert int(options["num.partitions"]) == PARTITIONS
    assert int(options["log.retention.bytes"]) + int(options["log.segment.bytes"]) < 300_000_000
    host, _, port = services["feed"]["environment"]["LAB_STREAM"].partition(":")
    assert options["advertised.listeners"] == f"CLIENTS://{host}:{port}"
    assert host == "kafka"
    assert "kafka" not in services["feed"]["depends_on"]
    assert "kafka" in services["worker"]["depends_on"]


def test_images_have_a_fixed_tag(service: tuple[str, dict[str, Any]]) -> None:
    _, options = service
    if "build" not in options:
        assert ":" in options["image"]
        assert not options["image"].endswith(":latest")


def test_services_and_workers_of_all_designs_run_in_the_image_without_training() -> None:
    services = config()["services"]
    for name in (design.container for design in load_designs()):
        worker = "worker" if name == "feed" else f"{name}-worker"
        for one in (name, worker):
            assert services[one]["build"]["target"] == "serving", one
    others = {name: row["build"]["target"] for name, row in services.items() if "build" in row}
    assert {target for name, target in others.items() if "build" in name} == {"lab"}
    assert others["mlflow"] == others["monitor"] == "lab"


def test_dependencies_wait_for_health_or_successful_completion() -> None:
    conditions = {
        (name, needed): options["condition"]
        for name, service in config()["services"].items()
        for needed, options in service.get("depends_on", {}).items()
    }
    assert {name for (name, needed) in conditions if needed == "setup"} >= {"redis", "postgres"}
    for (_, needed), condition in conditions.items():
        assert condition == ("service_completed_successfully" if needed in ONE_SHOT else "service_healthy")
    assert ("feed", "build") not in conditions, "the feed starts before the build ends and responds 503"


def test_every_design_has_a_service_on_its_port() -> None:
    services = raw()["services"]
    for design in load_designs():
        assert services[design.container]["command"] == ["serve", design.name]
        published = f"127.0.0.1:${{{PORT_OF[design.name]}:-{design.port}}}:{design.port}"
        assert published in services["balancer"]["ports"]
        assert "ports" not in services[design.container], "two replicas cannot publish one port"


def test_balancer_has_the_replicas_of_every_design_and_repeats_no_request() -> None:
    """A replica may have executed a request whose answer is lost. Only a connection that failed is tried again."""
    lines = [line.split() for line in (REPOSITORY / "infra/deploy/haproxy/haproxy.cfg").read_text().splitlines()]
    sections: dict[str, list[list[str]]] = {}
    for words in (words for words in lines if words and not words[0].startswith("#")):
        if words[0] in ("global", "defaults", "frontend", "backend", "resolvers"):
            section = sections.setdefault(" ".join(words), [])
        else:
            section.append(words)
    assert ["retry-on", "conn-failure"] in sections["defaults"]
    (check,) = (words for words in sections["defaults"] if words[:2] == ["http-check", "send"])
    assert check[2:6] == ["meth", "GET", "uri", "/readyz"]
    for design in load_designs():
        assert ["bind", f":{design.port}"] in sections[f"frontend {design.name}"]
        (ready,) = sections[f"backend {design.name}"]
        assert ready[3] == f"{design.container}:{design.port}"
        assert {"check", "slowstart"} <= set(ready)
    assert not any(
        "retry-on" in words for name, words_of in sections.items() if name != "defaults" for words in words_of
    )


def test_profiles_add_whole_designs_to_the_feed() -> None:
    profiles = {name: service["profiles"] for name, service in raw()["services"].items() if "profiles" in service}
    wanted = {"grafana": ["grafana"], "locust": ["load"]}
    wanted |= {f"airflow-{part}": ["airflow", "all"] for part in ("setup", "api", "scheduler")}
    for profile in PROFILES:
        wanted |= {name: [profile, "all"] for name in (f"{profile}-build", profile, f"{profile}-worker")}
    assert profiles == wanted


def test_airflow_scheduler_has_what_a_build_job_has() -> None:
    """Its tasks are the steps of the builds, so they need the same servers, settings and volumes."""
    services = config()["services"]
    build, scheduler = services["build"], services["airflow-scheduler"]
    assert scheduler["environment"] == build["environment"] | {"TINI_KILL_PROCESS_GROUP": "1"}
    assert {volume["source"] for volume in build["volumes"]} <= {volume["source"] for volume in scheduler["volumes"]}
    assert build["depends_on"].keys() <= scheduler["depends_on"].keys()
    assert int(scheduler["mem_limit"]) >= int(build["mem_limit"])


def test_airflow_reads_its_secrets_from_files_and_settings_that_were_measured() -> None:
    """`designs/adr/0020-airflow-as-orchestrator.md` gives the measurements."""
    found = configparser.ConfigParser()
    found.read(REPOSITORY / "infra/deploy/airflow/airflow.cfg")
    for section, name in (("database", "sql_alchemy_conn"), ("api", "secret_key"), ("api_auth", "jwt_secret")):
        assert name not in found[section]
        assert found[section][f"{name}_cmd"].startswith("cat /run/airflow/")
    assert found["core"]["parallelism"] == "2"
    scheduler = found["scheduler"]
    assert scheduler["task_instance_heartbeat_timeout"] == scheduler["orphaned_tasks_check_interval"] == "30"
    services = raw()["services"]
    assert set(services["airflow-api"]["tmpfs"]) > {"/tmp:mode=1777"}, "the copy of the passwords is in memory"
    assert "/run/airflow-users" in found["core"]["simple_auth_manager_passwords_file"]
    assert not {"airflow-dag-processor", "airflow-triggerer"} & services.keys()


@pytest.mark.parametrize(("profile", "design"), PROFILES.items())
def test_services_of_a_profile_differ_from_those_of_the_feed_by_names_and_numbers_only(
    profile: str, design: str
) -> None:
    """A design is one block per service; what the blocks share is in the `x-` blocks."""
    services = config()["services"]
    for feeds, own in (("build", f"{profile}-build"), ("feed", profile), ("worker", f"{profile}-worker")):
        one, other = services[feeds], services[own]
        assert other["command"] == [one["command"][0], design]
        assert one.keys() | {"profiles"} == other.keys()
        for part in ("depends_on", "volumes", "tmpfs", "logging", "image"):
            assert one[part] == other[part], (own, part)
        assert one["environment"] | {"LAB_ALLOWED_HOSTS": own} == other["environment"] | {"LAB_ALLOWED_HOSTS": own}


def _seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])
