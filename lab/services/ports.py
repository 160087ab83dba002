"""Where a design is served, and whether that place is free."""

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
"""of the first design, which `LAB_PORT` replaces; others keep their distance from it"""
FREE = (12_000, 30_000)
"""range that `free_port` draws from: below the ports that systems give to outgoing connections"""


def port_of(design: Design, settings: Settings) -> int:
    return design.port if settings.port is None else settings.port + design.port - FIRST_PORT


def base_port_for(design: Design, port: int) -> int:
    """The `LAB_PORT` with which `design` is served at `port`."""
    return port - design.port + FIRST_PORT


def served_at(design: Design, settings: Settings, port: int | None) -> Settings:
    """The settings with which `design` is served at `port`, if one is given."""
    return settings.model_copy(update={"port": base_port_for(design, port)}) if port else settings


def worker_port_of(design: Design, settings: Settings) -> int:
    """Where the design's worker says how it is: the port behind the service's."""
    return port_of(design, settings) + 1


def url_of(design: Design, settings: Settings) -> str:
    return f"http://{settings.host}:{port_of(design, settings)}"


def free_port() -> int:
    """A `LAB_PORT` for which the port of every design's service and worker is free."""
    services = [design.port - FIRST_PORT for design in load_designs()]
    distances = [*services, *(distance + 1 for distance in services)]
    while True:
        first = random.randrange(*FREE)
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for distance in distances:
                probe = probes.enter_context(socket.socket())
                probe.bind(("127.0.0.1", first + distance))
            return first


def check_port(host: str, port: int) -> None:
    """Raise `DependencyError` if something listens there already, naming it where the system allows."""
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
        hint=f"stop that program, or take another port:  LAB_PORT={port + 100} make up",
    )
