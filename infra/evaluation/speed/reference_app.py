"""Runs a reference app in a separate process, for benchmarks that compare a service with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from infra.errors import LabError

START_S, STOP_S = 60.0, 10.0


@contextmanager
def reference_app(module: str, *arguments: str) -> Iterator[str]:
    """Run `python -m MODULE PORT ARGUMENTS…` on 127.0.0.1 until the block ends, and yield its URL.

    Raises `LabError` if the app does not listen within `START_S` seconds.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(port), *arguments],
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port, process, module)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STOP_S)


def _await(port: int, process: subprocess.Popen[bytes], module: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise LabError(f"{module} does not listen on port {port}")
