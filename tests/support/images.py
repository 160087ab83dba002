"""Builds the images of a composed stack, one build at a time.

Without this, test processes build the same images at the same time. BuildKit of Docker Engine 20.10 reads its cache
from mapped memory while another build grows the file, and then the whole engine ends with a fault.
"""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path

from lab.services.composing import Stack

LOCK = Path(tempfile.gettempdir()) / "lab-image-build.lock"
BUILD_S = 900.0


def build_images(stack: Stack, *options: str) -> None:
    """Run `docker compose options… build` when no other test process does."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack.compose(*options, "build", timeout_s=BUILD_S)
