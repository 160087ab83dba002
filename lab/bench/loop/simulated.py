"""How soon each design notices a shift of its world, and how often it alarms without one, on simulated traffic.

The real service answers simulated users in this process, the real worker writes the log, and the drift monitor reads it
window by window (`infra.evaluation.simulated`). So a window takes seconds, also for rides whose labels come when they
end. The windows without a shift are drawn from the visits of the simulated ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from infra.design import Design
from infra.errors import LabError
from infra.evaluation.simulated.resampled import VisitPool
from infra.evaluation.simulated.windows import SimulatedWindows, windows_to_notice
from infra.settings import REPOSITORY, Settings
from lab.bench.environment import environment

MOST_WINDOWS, MOST_ROUNDS = 5, 2
"""A shift that is not noticed within `MOST_WINDOWS` counts as noticed in the next one."""
WITHOUT_SHIFT = 100
SIZES: Mapping[str, float] = MappingProxyType({"ctr_prediction": 2.0})
"""Sizes of shifts that are not the default. A shift of the ads by the default size doubles the clicks of a quarter of
the users. To see that in one segment, a window needs about 13,000 auctions, which take minutes."""


def measure_simulated(design: Design, settings: Settings, rounds: int) -> dict[str, list[float]]:
    """`drift_noticed_windows` and `drift_false_alarms` of each round, which has a seed of its own."""
    variables = environment(settings.home) | {"LAB_PRESET": settings.preset}
    done = subprocess.run([sys.executable, "-m", "lab", "build", design.name], cwd=REPOSITORY, env=variables)
    if done.returncode:
        raise LabError(f"the build of {design.name} failed")
    found: dict[str, list[float]] = {"drift_noticed_windows": [], "drift_false_alarms": []}
    for seed in range(min(rounds, MOST_ROUNDS)):
        with tempfile.TemporaryDirectory() as home:
            one = SimulatedWindows(design, settings, Path(home), seed)
            list(one.windows(one.reference + 1))
            alarmed, _ = VisitPool.of(one).false_alarms(WITHOUT_SHIFT, seed)
            noticed = windows_to_notice(one, MOST_WINDOWS, SIZES.get(design.name))
        found["drift_false_alarms"].append(float(alarmed))
        found["drift_noticed_windows"].append(float(noticed or MOST_WINDOWS + 1))
    return found
