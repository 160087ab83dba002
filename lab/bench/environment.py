"""The environment variables of a measured process: those of a new user, without any setting of the lab."""

from __future__ import annotations

import os
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """Return this process's variables without those of the lab, and with LAB_HOME set to `home`."""
    ours = {name for name in os.environ if name.startswith(("LAB_", "PYTHONDONTWRITEBYTECODE"))}
    return {name: value for name, value in os.environ.items() if name not in ours} | {"LAB_HOME": str(home)}
