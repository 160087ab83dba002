"""The type of progress callbacks for long-running work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""`progress(share, text)`: the completed share of the work, in 0..1, and a description of the current work."""
