"""Stops this process when its supervisor exits, including when the supervisor is killed.

The supervisor holds the write end of a pipe and never writes. When the supervisor exits, the kernel closes that end and
the blocking read in this process returns. The method works on every system with pipes.
"""

from __future__ import annotations

import os
import signal
import threading


def stop_with_parent(pipe: int | None) -> None:
    """Send SIGTERM to this process when the write end of `pipe` closes. Does nothing if `pipe` is None."""
    if pipe is None:
        return

    def wait() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watcher", daemon=True).start()
