"""The registered designs. Add a new design to `NAMES`."""

from __future__ import annotations

from infra.design import Design, resolve
from infra.errors import UsageError

NAMES = ("feed_ranking", "ctr_prediction", "eta_prediction")


def load_designs() -> list[Design]:
    return [find_design(name) for name in NAMES]


def find_design(name: str) -> Design:
    """Return the design with this name. Raises `UsageError` if no such design is registered."""
    if name not in NAMES:
        raise UsageError(f"there is no design {name!r}", hint=f"choose one of: {', '.join(NAMES)}")
    design: Design = resolve(f"{name}.design:DESIGN")
    return design
