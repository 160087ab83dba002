"""`lab doctor`: checks the requirements of the lab on this machine and advises how to meet the missing ones."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass

from infra.errors import LabError
from infra.settings import REPOSITORY, Settings
from lab.designs import load_designs
from lab.services.ports import check_port, monitor_port_of, port_of
from lab.services.runstate import read_state

NEEDED_GB = 1.0


@dataclass(frozen=True)
class Finding:
    check: str
    ok: bool
    found: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    return [_python(), _packages(), _disk(settings), _writable(settings), *_ports(settings), _docker()]


def _python() -> Finding:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("python", ok, platform.python_version(), "" if ok else "install Python 3.11, 3.12 or 3.13")


def _packages() -> Finding:
    """Check that the environment was installed from the current lock file."""
    needed = ("feast", "mlflow", "jax", "onnxruntime", "faiss", "fastapi", "locust")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return Finding("packages", False, f"missing: {', '.join(missing)}", "run: make env")
    stamp = REPOSITORY / ".venv" / ".installed-lab"
    digest = hashlib.sha256(str(REPOSITORY).encode())
    for name in ("requirements/lab.txt", "requirements/routing.txt", "pyproject.toml"):
        digest.update((REPOSITORY / name).read_bytes())
    current = stamp.exists() and stamp.read_text() == digest.hexdigest()
    return Finding(
        "packages",
        current,
        "as in the lock file" if current else "not as in the lock file",
        "" if current else "run: make env",
    )


def _disk(settings: Settings) -> Finding:
    place = settings.home if settings.home.exists() else REPOSITORY
    free = shutil.disk_usage(place).free / 1e9
    return Finding("disk", free >= NEEDED_GB, f"{free:.1f} GB free", "" if free >= NEEDED_GB else "free some space")


def _writable(settings: Settings) -> Finding:
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
        probe = settings.root / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        return Finding(
            "data", False, f"{settings.root}: {exc.strerror}", "set LAB_HOME to a directory you may write to"
        )
    return Finding("data", True, str(settings.root))


def _ports(settings: Settings) -> list[Finding]:
    state = read_state(settings)
    running = {service.name for service in state.services} if state else set()
    findings = []
    ports = {design.name: port_of(design, settings) for design in load_designs()}
    for name, port in (ports | {"monitor": monitor_port_of(settings)}).items():
        if name in running:
            findings.append(Finding(f"port {port}", True, f"served by the lab: {name}"))
            continue
        try:
            check_port(settings.host, port)
            findings.append(Finding(f"port {port}", True, f"free for {name}"))
        except LabError as exc:
            findings.append(Finding(f"port {port}", False, str(exc), exc.hint))
    return findings


def _docker() -> Finding:
    found = shutil.which("docker")
    return Finding("docker", True, "installed" if found else "not installed; the embedded setting does not need it")
