"""Returns freed memory to the operating system: between two steps of a build, and after a worker has read its log.

The C library keeps freed memory in fragments. After a training step this is about a gigabyte, which would add to the
memory of the next step.
"""

from __future__ import annotations

import ctypes
import gc
import sys


def release_memory() -> None:
    """Collect garbage and release free memory. Without glibc, the C heap is not trimmed.

    What survives, mostly imported modules, is left out of later searches: a search through it takes a third of a
    second.
    """
    gc.collect()
    gc.freeze()
    trim_memory()


def trim_memory() -> None:
    """Return the free memory of Arrow and, with glibc, of the C heap to the operating system."""
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
