"""Starts the MLflow server of the composed setting on PostgreSQL: `python -m infra.registry.server --database …`.

The password comes from a file and is passed in the environment, so that no command line shows it. MLflow's server
refuses the database of an older MLflow, so this module upgrades the database first.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

PORT = 5000
HOSTS = f"mlflow:{PORT},localhost:*,127.0.0.1:*"
"""Host names that MLflow accepts. MLflow refuses other names as protection against DNS rebinding."""
STAMP = ".mlflow-version"


def main(arguments: list[str] | None = None) -> None:
    """Replace this process by the server, with one worker and no job execution: 0.5 GB of memory instead of 2.2 GB."""
    options = _options(arguments)
    artifacts: Path = options.artifacts
    password = options.password_file.read_text().strip()
    uri = f"postgresql+psycopg2://{quote(options.user)}:{quote(password)}@{options.database}"
    environment = dict(os.environ) | {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    stamp = artifacts / STAMP
    if stamp.exists() and stamp.read_text() != version("mlflow"):
        bring_up_to_date(uri)
    stamp.write_text(version("mlflow"))
    command = ["mlflow", "server", "--host", options.host, "--port", str(options.port), "--workers", "1"]
    command += ["--serve-artifacts", "--artifacts-destination", str(artifacts), "--allowed-hosts", HOSTS]
    command += ["--uvicorn-opts", "--log-level warning"]  # otherwise every health check logs a line
    os.execve(str(Path(sys.prefix) / "bin" / "mlflow"), command, environment)


def bring_up_to_date(uri: str) -> None:
    """Run `mlflow db upgrade` in this process, because a command line would show the password in the process list."""
    from mlflow.db import commands

    try:
        commands.main(["upgrade", uri], standalone_mode=False)
    except Exception as exc:  # whatever its migrations raise, the way out is the same
        print(f"the database comes from another MLflow version and cannot be migrated: {exc}", file=sys.stderr)
        sys.exit("delete the old data with: docker compose down --volumes")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the MLflow server of the composed setting")
    parser.add_argument("--database", required=True, help="host:port/name of PostgreSQL")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--artifacts", type=Path, required=True, help="directory of the stored models")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
