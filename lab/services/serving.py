"""Runs one service in this process.

`lab serve` runs it in the foreground; the supervisor runs `python -m lab.services.serving DESIGN`. This module imports
no command-line library, because an imported library takes memory for as long as the service runs.
"""

from __future__ import annotations

import logging
import sys

import uvicorn

from infra.design import Design, resolve
from infra.registry.release import read_release
from infra.settings import Settings
from infra.telemetry.logs import configure_logs
from lab.designs import find_design
from lab.services.ports import check_port, port_of

log = logging.getLogger(__name__)
SWITCH_S = 0.0005
"""Thread switch interval of the interpreter, in seconds. Python's default of 5 ms lets background threads delay
requests."""


def serve_design(design: Design, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises `UsageError` at the start if no release is built, and `DependencyError` if the port is taken.
    """
    if not settings.wait_for_release:
        read_release(settings.design_root(design.name))
    port = port_of(design, settings)
    check_port(settings.host, port)
    configure_logs(design.name)
    log.info("starting %s at http://%s:%d", design.name, settings.host, port)
    sys.setswitchinterval(SWITCH_S)
    uvicorn.run(
        resolve(design.app)(settings),
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # no proxy forwards requests in the embedded setting
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
        backlog=256,
    )


if __name__ == "__main__":
    serve_design(find_design(sys.argv[1]), Settings())
