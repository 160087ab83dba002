"""Runs one service in this process.

`lab serve` runs it in the foreground; the supervisor runs `python -m lab.services.serving DESIGN`. One of several
replicas gets two more arguments: its number, and the file descriptor of the socket that all replicas share. This module
imports no command-line library, because an imported library takes memory for as long as the service runs.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys

import uvicorn

from infra.design import Design, resolve
from infra.registry.release import read_release
from infra.settings import Settings
from infra.telemetry.logs import configure_logs
from lab.designs import find_design
from lab.services.ports import BACKLOG, check_port, port_of, replica_port_of
from lab.services.traceable import let_own_user_read_stacks

log = logging.getLogger(__name__)
SWITCH_S = 0.0005
"""Thread switch interval of the interpreter, in seconds. Python's default of 5 ms lets background threads delay
requests."""
STARTUP_FAILED = 3
"""Exit code of a service whose app did not start; the same as with `uvicorn.run`."""


def serve_design(design: Design, settings: Settings, *, replica: int = 0, shared: int | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Replica number `replica` accepts connections from the listening socket `shared`, a file descriptor, and answers at a
    port of its own too. It accepts the first connection when its release is loaded. The kernel hands each connection
    to one replica that accepts, so a replica that starts, has died or hangs gets no new ones. Without a release, a
    replica ends also with `wait_for_release`, because it would take connections from the others and answer 503.

    Raises `UsageError` at the start if no release is built, and `DependencyError` if the port is taken.
    """
    if shared is not None:
        settings = settings.model_copy(update={"wait_for_release": False})
    if not settings.wait_for_release:
        read_release(settings.design_root(design.name))
    port = port_of(design, settings) if shared is None else replica_port_of(design, settings, replica)
    check_port(settings.host, port)
    configure_logs(design.name)
    log.info("starting %s at http://%s:%d", design.name, settings.host, port)
    sys.setswitchinterval(SWITCH_S)
    config = uvicorn.Config(
        resolve(design.app)(settings),
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # no proxy forwards requests in the embedded setting
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)
    sockets = None if shared is None else [socket.socket(fileno=shared), config.bind_socket()]
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
        server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILED)


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    let_own_user_read_stacks()
    which = {"replica": int(words[0]), "shared": int(words[1])} if words else {}
    serve_design(find_design(name), Settings(), **which)
