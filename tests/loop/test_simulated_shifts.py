"""Each design's drift monitor on simulated traffic: it stays silent without a shift of the world and notices one.

The real service answers simulated users in this process, the real worker writes the log, and the monitor reads it
window by window (`infra.evaluation.simulated`). A hundred windows of a service take many minutes, so those without a
shift are resampled from the visits of four simulated windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from infra.evaluation.simulated.resampled import VisitPool
from infra.evaluation.simulated.windows import SimulatedWindows, windows_to_notice
from infra.settings import Settings
from lab.bench.loop.simulated import SIZES
from lab.designs import NAMES, find_design

SEEDS = (0, 1)
MOST_WINDOWS = 3
"""windows within which a shift must be noticed, the one in which it begins included"""
RESAMPLED, MOST_ALARMS, TIMES = 100, 5, 3


@dataclass(frozen=True)
class Seen:
    """`noticed`: seed -> windows from the shift to the verdict, None if it was not noticed."""

    name: str
    pool: VisitPool
    drifted_before: bool
    noticed: dict[int, int | None]


@pytest.fixture(scope="module", params=NAMES)
def seen(request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    design, pools, drifted, noticed = find_design(request.param), [], False, {}
    for seed in SEEDS:
        one = SimulatedWindows(design, settings, tmp_path_factory.mktemp("home"), seed)
        drifted |= any(judged.is_drifted for judged in one.windows(one.reference + 1))
        pools.append(VisitPool.of(one))
        noticed[seed] = windows_to_notice(one, MOST_WINDOWS, SIZES.get(design.name))
    return Seen(design.name, pools[0], drifted, noticed)


def test_a_shift_is_noticed_within_three_windows(seen: Seen) -> None:
    assert not seen.drifted_before
    assert None not in seen.noticed.values(), f"{seen.name}: windows by seed: {seen.noticed}"


def test_of_a_hundred_windows_without_a_shift_at_most_five_alarm_and_none_is_a_drift(seen: Seen) -> None:
    found = [seen.pool.false_alarms(RESAMPLED, seed) for seed in range(TIMES)]
    assert max(alarmed for alarmed, _ in found) <= MOST_ALARMS, found
    assert all(drifted == 0 for _, drifted in found), found
