"""The peak memory of this process, counted anew for each step of a build."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
FORGET_THE_PEAK = "5"


def reset_peak() -> None:
    """Let the peak begin at the present memory. Without Linux's /proc, the peak stays that of the whole process."""
    with contextlib.suppress(OSError):
        CLEAR.write_text(FORGET_THE_PEAK)


def peak_memory_mb() -> float:
    """The largest resident memory since the last reset, in MB."""
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()):
            return int(found[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
