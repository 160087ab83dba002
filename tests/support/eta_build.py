"""A built smoke city, shared by the tests of ride ETA: built once, kept between runs by its fingerprints."""

from __future__ import annotations

from pathlib import Path

from eta_prediction.design import DESIGN
from infra.build.runner import build
from infra.settings import Settings
from tests.support.smoke_build import exclusive


def build_city(home: Path) -> Settings:
    """Build the design under `home`, which holds nothing else, and return the settings of the build."""
    settings = Settings(home=home, preset="smoke")
    with exclusive(home / "eta.lock"):
        build(DESIGN, settings)
    return settings
