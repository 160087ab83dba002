"""Ends this process when its supervisor is gone, in whatever way that went.

The supervisor holds one end of a pipe and never writes; when it ends, the kernel closes that end and a read here
returns. Works on every system with pipes, and for a supervisor that was killed.
"""

from __future__ import annotations

import os
import signal
import threading


def stop_with_parent(pipe: int | None) -> None:
    """Send SIGTERM to this process once the other end of `pipe` closes. Does nothing without a pipe."""
    if pipe is None:
        return

    def wait() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watcher", daemon=True).start()
