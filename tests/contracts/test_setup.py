"""The setup script of the compose file creates passwords once and refuses hosts and volumes that cannot work."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from infra.settings import REPOSITORY

PLACES = ("redis", "postgres", "grafana", "airflow")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place in ("proc", "postgres", *(f"run/{name}" for name in PLACES)):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:        8000000 kB\nMemFree: 1 kB\n")
    return tmp_path


def setup(root: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(REPOSITORY / "infra/deploy/docker/setup.sh"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def passwords(root: Path) -> list[str]:
    return [(root / f"run/{place}/password").read_text() for place in PLACES]


def test_each_service_gets_its_own_long_password(root: Path) -> None:
    assert setup(root).returncode == 0
    assert len(set(passwords(root))) == len(PLACES)
    assert all(len(password) == 48 and password.isalnum() for password in passwords(root))
    assert (root / "run/redis/redis.conf").read_text() == f"requirepass {passwords(root)[0]}\n"


def test_airflow_gets_secrets_of_its_own_and_files_that_it_reads(root: Path) -> None:
    setup(root)
    place = root / "run/airflow"
    secrets = [(place / name).read_text() for name in ("password", "database", "jwt", "api-key")]
    assert len(set(secrets)) == 4
    assert json.loads((place / "passwords.json").read_text()) == {"admin": secrets[0]}
    assert (place / "database-url").read_text() == f"postgresql+psycopg2://airflow:{secrets[1]}@postgres:5432/airflow"
    assert not list(place.glob("*.new"))


def test_second_run_keeps_the_passwords(root: Path) -> None:
    setup(root)
    before = passwords(root)
    assert setup(root).returncode == 0
    assert passwords(root) == before


def test_too_little_memory_is_refused_with_an_instruction(root: Path) -> None:
    (root / "proc/meminfo").write_text("MemTotal:        1990000 kB\n")
    done = setup(root)
    assert done.returncode == 1
    assert "1943 MB" in done.stderr
    assert "Settings, Resources, Memory" in done.stderr
    assert not list((root / "run").rglob("password"))


def test_volume_of_another_postgresql_version_is_refused_with_an_instruction(root: Path) -> None:
    (root / "postgres/PG_VERSION").write_text("13\n")
    done = setup(root)
    assert done.returncode == 1
    assert "PostgreSQL 13" in done.stderr
    assert "docker compose down --volumes" in done.stderr


def test_existing_database_is_refused_without_its_password(root: Path) -> None:
    (root / "postgres/PG_VERSION").write_text("15\n")
    assert "lost its password" in setup(root).stderr
    (root / "run/postgres/password").write_text("kept")
    assert setup(root).returncode == 0
    assert passwords(root)[1] == "kept"
