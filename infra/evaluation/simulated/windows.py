"""Windows of simulated traffic as the drift monitor sees them: without a shift of the world, and after one.

The service answers simulated users in this process, the worker writes the log, and the monitor reads it after each
window (`infra.telemetry.drift.update`). A window has a fixed number of requests, so no wall time passes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.design import Design
from infra.evaluation.simulated.parts import home_for
from infra.evaluation.simulated.traffic import SimulatedTraffic
from infra.settings import Settings
from infra.telemetry.drift.alarms import QUALITY, Alarm
from infra.telemetry.drift.update import config_of, update_drift
from infra.telemetry.drift.windows import Window

LATER_NS = int(3e9)
"""added to the present, so that the monitor does not wait for files that may still be written; shorter than any label
takes, since the monitor would believe that the traffic has ended"""
LONGEST_S = 1e9


@dataclass(frozen=True)
class Judged:
    """One window after the reference. `alarms` are those about labels; `is_drifted` is the verdict after it."""

    window: Window
    alarms: Sequence[Alarm]
    is_drifted: bool


class SimulatedWindows:
    """Traffic of a design in the new home `home`, window by window. The first `reference` windows are the reference.

    Rate and size of a window are those of `Design.in_process`, unless `window` states another number of requests.
    """

    def __init__(self, design: Design, settings: Settings, home: Path, seed: int, window: int | None = None) -> None:
        self.design, self.settings = design, home_for(design, settings, home)
        self.traffic = SimulatedTraffic(design, self.settings, seed)
        self.requests = window or self.traffic.inside.window
        self.config = replace(config_of(design, settings), drift_window=self.requests, drift_window_s=LONGEST_S)
        self.reference = self.config.drift_reference

    def shift(self, size: float | None = None) -> None:
        """Shift the world by `size`, by default that of the design."""
        self.traffic.people.shift(self.design.shift.size if size is None else size)

    def windows(self, count: int) -> Iterator[Judged]:
        """The next `count` windows."""
        for _ in range(count):
            self.traffic.run(self.requests)
            state = update_drift(self.design, self.settings, config=self.config, now_ns=time.time_ns() + LATER_NS)
            window, alarms = state.windows[-1]
            yield Judged(window, [alarm for alarm in alarms if alarm.kind in QUALITY], state.is_drifted)


def windows_to_notice(one: SimulatedWindows, most: int, size: float | None = None) -> int | None:
    """Shift the world now, by `size` or by default as much as the design says. Returns the number of windows up to the
    verdict, 1 for the one in which the shift begins, and None if `most` do not suffice."""
    one.shift(size)
    return next((number for number, judged in enumerate(one.windows(most), 1) if judged.is_drifted), None)
