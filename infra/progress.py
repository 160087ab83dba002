"""How long-running work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""`progress(share, text)`: the share of the work that is done, in 0..1, and what is being done."""
