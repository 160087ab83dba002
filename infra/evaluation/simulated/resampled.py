"""Many windows from one simulated log: a bootstrap of whole visits, judged by the code of the drift monitor.

A hundred windows of a service take many minutes. One log of a few windows has thousands of impressions or trips with
their labels. Visits drawn from it with replacement make any number of windows without a shift: they keep the
correlation within a visit and the noise of the labels, and leave out what changes over the hours of a day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.design import Design, resolve
from infra.evaluation.drift_config import DriftConfig
from infra.evaluation.simulated.windows import SimulatedWindows
from infra.live.live_log import LIVE
from infra.settings import Settings
from infra.simulation.streams import stream
from infra.telemetry.drift.advance import advanced
from infra.telemetry.drift.alarms import QUALITY
from infra.telemetry.drift.log_files import new_files, tables_of
from infra.telemetry.drift.observed import DriftSource, Ints, Labels, Units
from infra.telemetry.drift.state import State
from infra.telemetry.drift.waiting import Waiting

FOREVER_NS = 2**62
MOST_REQUESTS = 1000
"""requests of a visit, at most"""


@dataclass(frozen=True)
class VisitPool:
    """Mature units with their labels, by visit: visit v has the rows first[v] to first[v + 1]."""

    source: DriftSource
    config: DriftConfig
    units: Units
    first: Ints
    window: int
    """requests of a window"""

    @classmethod
    def of(cls, one: SimulatedWindows) -> VisitPool:
        """The visits of the traffic so far whose units are all mature."""
        source: DriftSource = resolve(one.design.drift)(one.settings)
        units = mature_units(one.design, one.settings, source)
        visit = np.array(one.traffic.visit_of)[units.group - 1]
        order = np.argsort(visit, kind="stable")
        _, first = np.unique(visit[order], return_index=True)
        return cls(source, one.config, units.take(order), np.append(first, len(units)), one.requests)

    def draw(self, rng: np.random.Generator) -> Units:
        """The units of one window: visits until it has its requests."""
        rows, groups, requests = list[Ints](), list[Ints](), 0
        while requests < self.window:
            visit = int(rng.integers(len(self.first) - 1))
            some = np.arange(self.first[visit], self.first[visit + 1])
            _, request = np.unique(self.units.group[some], return_inverse=True)
            rows.append(some)
            groups.append(len(groups) * MOST_REQUESTS + request)
            requests += int(request.max()) + 1
        found, group = self.units.take(np.concatenate(rows)), np.concatenate(groups)
        return Units(found.id, group.astype(np.float64), group, found.segment, found.predicted, found.actual)

    def false_alarms(self, windows: int, seed: int) -> tuple[int, int]:
        """(windows with an alarm about labels, windows after which the model counts as drifted), of `windows` windows
        after those of the reference."""
        rng, nothing = stream(seed, "resampled"), self.source.observe({})
        state, alarmed, drifted = State(model_version=self.source.version), 0, 0
        for number in range(self.config.drift_reference + windows):
            state = advanced(state, self.source, nothing, self.draw(rng), self.config, ended_at=float(number))
            alarmed += any(alarm.kind in QUALITY for alarm in state.windows[-1][1])
            drifted += state.is_drifted
        return alarmed, drifted


def mature_units(design: Design, settings: Settings, source: DriftSource) -> Units:
    """The units in the live log that were mature when its last prediction was made, with their labels."""
    live = settings.design_root(design.name) / LIVE
    parts = [
        source.observe({folder: table})
        for folder in (source.predictions, *source.labels)
        for table in tables_of(new_files(live / folder, 0, FOREVER_NS))
    ]
    units = Units.joined([part.units for part in parts])
    labels = Labels(*(np.concatenate([getattr(part.labels, name) for part in parts]) for name in ("id", "actual")))
    waiting = Waiting(units.take(np.zeros(0, np.int64)), Labels(np.zeros(0, np.int64), np.zeros(0)))
    now_ts = max(float(part.request_ts.max(initial=0.0)) for part in parts)
    return waiting.step(units, labels, now_ts)[0]
