"""Simulated traffic in one process writes the log of a running lab: every prediction once, and labels of its units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.design import resolve
from infra.evaluation.simulated.parts import home_for
from infra.evaluation.simulated.resampled import mature_units
from infra.evaluation.simulated.traffic import SimulatedTraffic
from infra.settings import Settings
from infra.telemetry.drift.observed import Units
from lab.designs import NAMES, find_design

REQUESTS = 40
RATES = {"feed_ranking": 0.02, "ctr_prediction": 0.1, "eta_prediction": 0.02}
"""requests per second of world time: the labels of most requests arrive before the last one, and creators publish"""


def simulated(name: str, settings: Settings, home: Path, seed: int) -> tuple[SimulatedTraffic, Units]:
    design = find_design(name)
    own = home_for(design, settings, home)
    traffic = SimulatedTraffic(design, own, seed, RATES[name])
    traffic.run(REQUESTS)
    return traffic, mature_units(design, own, resolve(design.drift)(own))


@pytest.mark.parametrize("name", NAMES)
def test_traffic_depends_on_its_seed_alone_and_its_log_has_the_labels(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    traffic, units = simulated(name, settings, tmp_path / "one", 0)
    _, again = simulated(name, settings, tmp_path / "again", 0)
    _, other = simulated(name, settings, tmp_path / "other", 1)
    order, same = np.argsort(units.id), np.argsort(again.id)
    np.testing.assert_array_equal(units.id[order], again.id[same])
    np.testing.assert_array_equal(units.predicted[order], again.predicted[same])
    np.testing.assert_array_equal(units.actual[order], again.actual[same])
    assert len(other) != len(units) or not np.array_equal(other.predicted, units.predicted)
    assert len(traffic.visit_of) >= REQUESTS
    assert set(units.group) <= set(range(1, len(traffic.visit_of) + 1))
    assert len(np.unique(units.id)) == len(units)
    assert len(np.unique(units.group)) > 0.3 * REQUESTS
    assert np.isfinite(units.actual).mean() > 0.5
    assert name != "feed_ranking" or any((tmp_path / "one" / "smoke" / name / "live" / "posts").rglob("part-*"))
    assert len(np.unique(units.actual[np.isfinite(units.actual)])) > 1


@pytest.mark.parametrize("name", NAMES)
def test_simulated_traffic_changes_nothing_in_the_home_that_it_copies(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    root = settings.design_root(name)
    before = changed_at(root)
    simulated(name, settings, tmp_path / "home", 0)
    assert changed_at(root) == before


def changed_at(root: Path) -> dict[Path, int]:
    """The times of builds and models. Other tests serve from the same home, and write clocks and locks there."""
    files = [
        file for part in ("steps", "models", "current.json") for file in (root, *root.rglob("*")) if part in file.parts
    ]
    kept = [file for file in files if file.is_file() and not file.name.endswith((".lock", "-wal", "-shm"))]
    return {file: file.stat().st_mtime_ns for file in kept}
