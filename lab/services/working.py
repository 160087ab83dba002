"""Runs a design's worker in this process.

`lab work` runs it in the foreground; the supervisor runs `python -m lab.services.working DESIGN`.
"""

from __future__ import annotations

import logging
import os
import sys

import uvicorn

from infra.design import Design
from infra.settings import Settings
from infra.stream.worker import create_worker
from infra.telemetry.logs import configure_logs
from lab.designs import find_design
from lab.services.ports import check_port, worker_port_of
from lab.services.traceable import let_own_user_read_stacks

log = logging.getLogger(__name__)
NICE = 5
"""Nice value of the worker. The service has a higher priority: with few cores, requests run before log processing."""


def work_design(design: Design, settings: Settings) -> None:
    """Run the worker until SIGINT or SIGTERM. Raises `DependencyError` at the start if the port is taken."""
    port = worker_port_of(design, settings)
    check_port(settings.host, port)
    configure_logs(design.name)
    log.info("starting the worker of %s at http://%s:%d", design.name, settings.host, port)
    os.nice(NICE)
    uvicorn.run(create_worker(design, settings), host=settings.host, port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    let_own_user_read_stacks()
    work_design(find_design(sys.argv[1]), Settings())
