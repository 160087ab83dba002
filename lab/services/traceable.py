"""Lets `lab profile` read the stacks of a service that `lab up` started.

Many Linux systems (Yama's `ptrace_scope` 1) let a process be read by its ancestors only. A service that `lab up` runs
lifts that for itself, so that other processes of the same user may read it. A service in a container does not.
"""

from __future__ import annotations

import ctypes
import sys

PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)


def let_own_user_read_stacks() -> None:
    """Has no effect on systems without Yama."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
