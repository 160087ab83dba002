"""Assigns ports to services and workers, and checks that a port is free."""

from __future__ import annotations

import contextlib
import random
import socket

import psutil

from infra.design import Design
from infra.errors import DependencyError
from infra.settings import Settings
from lab.designs import load_designs

FIRST_PORT = 8010
"""Default port of the first design. `LAB_PORT` replaces it; the other designs keep their offset from it."""
MONITOR_PORT = 8090
"""Default port of the monitor."""
MOST_REPLICAS = 8
"""of a design in the embedded setting; a design's ports end before those of the next one"""
BACKLOG = 256
"""Connections that wait to be accepted at the port of a design, by all its replicas together."""
FREE = (12_000, 30_000)
"""Range that `free_port` draws from: below the ephemeral ports of outgoing connections."""


def port_of(design: Design, settings: Settings) -> int:
    return design.port if settings.port is None else settings.port + design.port - FIRST_PORT


def base_port_for(design: Design, port: int) -> int:
    """Return the `LAB_PORT` value for which `design` is served at `port`."""
    return port - design.port + FIRST_PORT


def served_at(design: Design, settings: Settings, port: int | None) -> Settings:
    """Return settings for which `design` is served at `port`; without a `port`, the settings unchanged."""
    return settings.model_copy(update={"port": base_port_for(design, port)}) if port else settings


def worker_port_of(design: Design, settings: Settings) -> int:
    """Port of the health endpoint of the design's worker: the service's port plus one."""
    return port_of(design, settings) + 1


def replica_port_of(design: Design, settings: Settings, number: int) -> int:
    """Port at which replica `number` (from 1) answers alone: the ports after the worker's."""
    return worker_port_of(design, settings) + number


def monitor_port_of(settings: Settings) -> int:
    """Port of the monitor: `LAB_MONITOR_PORT`, else the default, moved by as much as `LAB_PORT` moves the designs."""
    return settings.monitor_port or MONITOR_PORT + (0 if settings.port is None else settings.port - FIRST_PORT)


def monitor_url_of(settings: Settings) -> str:
    return f"http://{settings.host}:{monitor_port_of(settings)}"


def url_of(design: Design, settings: Settings) -> str:
    return f"http://{settings.host}:{port_of(design, settings)}"


def free_port() -> int:
    """Return a `LAB_PORT` value for which the ports of every replica and worker and of the monitor are free."""
    services = [design.port - FIRST_PORT for design in load_designs()]
    distances = [first + place for first in services for place in range(MOST_REPLICAS + 2)]
    distances.append(MONITOR_PORT - FIRST_PORT)
    while True:
        first = random.randrange(*FREE)
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for distance in distances:
                probe = probes.enter_context(socket.socket())
                probe.bind(("127.0.0.1", first + distance))
            return first


def check_port(host: str, port: int) -> None:
    """Raise `DependencyError` if the port is taken. The message names the listening process if the system shows it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except OSError as exc:
            reason = exc.strerror
    owner = ""
    with contextlib.suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections("tcp"):
            address = tuple(connection.laddr)
            if connection.status == psutil.CONN_LISTEN and address[1:2] == (port,) and connection.pid:
                owner = f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    raise DependencyError(
        f"port {port} is taken{owner}: {reason}",
        hint=f"stop that program, or use another port:  LAB_PORT={port + 100} make up",
    )
