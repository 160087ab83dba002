"""The environment of a measured process: that of a stranger, who has set nothing for the lab."""

from __future__ import annotations

import os
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """This process's variables without those of the lab, and generated data under `home`."""
    ours = {name for name in os.environ if name.startswith(("LAB_", "PYTHONDONTWRITEBYTECODE"))}
    return {name: value for name, value in os.environ.items() if name not in ours} | {"LAB_HOME": str(home)}
