"""Between two steps of a build: what the one before has freed goes back to the system.

The C library keeps freed memory for itself, in pieces; after a training that is a gigabyte, on top of which the next
step would need its own.
"""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect garbage, and give back what is free. Away from glibc only the first."""
    gc.collect()
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
