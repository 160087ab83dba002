"""Settings come from the environment, have safe defaults, and keep presets separate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import REPOSITORY, Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("LAB_"):
            monkeypatch.delenv(name)


def test_servers_bind_localhost_by_default() -> None:
    assert Settings().host == "127.0.0.1"


def test_data_directory_is_in_the_repository_by_default() -> None:
    assert Settings().root == REPOSITORY / "var" / "small"
    assert (REPOSITORY / "pyproject.toml").exists()


def test_environment_overrides_each_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "HOME": str(tmp_path),
        "PRESET": "large",
        "HOST": "0.0.0.0",
        "PORT": "9000",
        "ALLOWED_HOSTS": "feed, LAB.example,[fd00::7]",
        "REGISTRY_URI": "http://registry:5000",
        "REDIS": "redis:6379",
        "REDIS_PASSWORD_FILE": "/run/redis/password",
        "STREAM": "kafka:9092",
        "WAIT_FOR_RELEASE": "true",
        "DEADLINE_FACTOR": "20",
        "FAULT_INJECTION": "false",
        "PARENT_PIPE": "7",
        "MONITOR_PORT": "9001",
        "ALERT_CLOCK": "30",
        "RETRAIN": "false",
        "RETRAIN_MEMORY_GB": "2.5",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"LAB_{name}", value)
    assert set(values) == {name.upper() for name in Settings.model_fields}
    settings = Settings()
    assert (settings.home, settings.preset, settings.host, settings.port) == (tmp_path, "large", "0.0.0.0", 9000)
    assert (settings.redis, settings.redis_password_file) == ("redis:6379", Path("/run/redis/password"))
    assert settings.wait_for_release
    assert not settings.retrain
    assert settings.stream == "kafka:9092"
    assert settings.deadline_factor == 20
    assert (settings.monitor_port, settings.alert_clock) == (9001, 30)
    assert settings.allowed_hosts == ("feed", "lab.example", "[fd00::7]")
    assert (settings.mlflow_uri, settings.fault_injection, settings.parent_pipe) == ("http://registry:5000", False, 7)


def test_explicit_settings_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PRESET", "large")
    assert Settings(preset="smoke").preset == "smoke"


def test_unrelated_environment_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("LAB_UNKNOWN", "1")
    assert Settings().port is None


def test_presets_share_no_directory(tmp_path: Path) -> None:
    every = [Settings(home=tmp_path, preset=preset) for preset in ("smoke", "small", "medium", "large")]
    for first in every:
        places = (first.design_root("tiny"), first.run_dir, first.mlflow_artifacts)
        assert all(place.is_relative_to(first.root) for place in places)
        assert str(first.root) in first.mlflow_uri
        for second in every:
            assert first is second or not first.root.is_relative_to(second.root)


def test_relative_home_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(home=Path("data"), preset="smoke").root == tmp_path / "data" / "smoke"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PRESET", "huge"),
        ("FAULT_INJECTION", "?"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "http://feed"),
        ("ALLOWED_HOSTS", "feed:8010"),
        ("ALLOWED_HOSTS", "feed ads"),
    ],
)
def test_invalid_setting_is_rejected_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LAB_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]
