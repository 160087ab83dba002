"""Settings of a process: paths and addresses. Only this module reads settings from the environment; other modules only
pass the environment to a child process or a library.

A *setting* is a location and differs between the embedded and the composed setting. A *knob* (`config.py` of a design)
controls the system's behaviour and is the same in both.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parents[1]
HOST_NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


class Settings(BaseSettings):
    """Settings of one process. The environment variable `LAB_<NAME>` overrides a setting."""

    model_config = SettingsConfigDict(env_prefix="LAB_", frozen=True, extra="ignore")

    home: Path = Field(REPOSITORY / "var", description="root of all generated data")
    preset: Literal["smoke", "small", "medium", "large"] = Field("small", description="size of the world")
    host: str = Field("127.0.0.1", description="address that servers bind")
    port: int | None = Field(None, ge=1, le=65535, description="port of the service; by default the design's own")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="comma-separated names that a Host header may have, in addition to 127.0.0.1, localhost and [::1]",
    )
    registry_uri: str | None = Field(None, description="MLflow tracking URI; by default SQLite under `home`")
    redis: str | None = Field(None, description="host:port of Feast's online store; by default SQLite under `home`")
    redis_password_file: Path | None = Field(None, description="file that holds its password")
    stream: str | None = Field(None, description="host:port of Kafka; by default the in-memory broker of `lab up`")
    wait_for_release: bool = Field(
        False, description="start without a release, answer 503, and load the first release that a build writes"
    )
    deadline_factor: float = Field(
        1.0,
        ge=1,
        le=1000,
        description="multiplies the request deadline and the feature store timeout, for a debugger or a slow machine",
    )
    monitor_port: int | None = Field(
        None, ge=1, le=65535, description="port of the monitor; by default 8090, or 80 above LAB_PORT"
    )
    alert_clock: float = Field(
        1.0, ge=1, le=100, description="divides the windows and waiting times of the embedded monitor's alerts"
    )
    retrain: bool = Field(
        True,
        description="the embedded monitor builds a design again when its model has drifted or an alert asks for it",
    )
    retrain_memory_gb: float = Field(
        6.0, ge=0.5, description="memory that such a build may allocate before it fails; Linux only"
    )
    fault_injection: bool = Field(True, description="serve the API for fault injection under /v1/faults")
    parent_pipe: int | None = Field(
        None, description="file descriptor that the supervisor keeps open; the process exits when it is closed"
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _host_names(cls, value: Any) -> Any:
        """Split a comma-separated value. A name may not have a scheme, a port or a wildcard."""
        names = [name.strip().lower() for name in value.split(",")] if isinstance(value, str) else list(value)
        names = [name for name in names if name]
        if wrong := [name for name in names if not HOST_NAME.fullmatch(name)]:
            raise ValueError(f"allowed hosts are names without scheme, port or wildcard, not {wrong[0]!r}")
        return tuple(names)

    @property
    def root(self) -> Path:
        """Directory of this preset. Presets share no data, models or run files."""
        return self.home.resolve() / self.preset

    def design_root(self, design: str) -> Path:
        return self.root / design

    @property
    def run_dir(self) -> Path:
        """Directory for logs, process ids and locks of running services."""
        return self.root / "run"

    @property
    def mlflow_uri(self) -> str:
        return self.registry_uri or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root / "mlflow" / "artifacts"
