"""`lab bench loop`: measures the learning loop of the feed in a lab of its own, with the preset smoke.

Each part starts a lab with the same builds. The whole loop takes about 15 minutes, the other parts one to three.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from infra.errors import UsageError
from infra.evaluation.figures import Bound, Figure, of_rounds
from infra.registry.rollout import rollout_file
from infra.serving.release_tally import FOLDER
from infra.settings import Settings
from lab.bench.loop.rollback import measure_rollback
from lab.bench.loop.shadow import measure_shadow
from lab.bench.loop.swaps import measure_swaps
from lab.bench.loop.whole import measure_whole
from lab.bench.up import PRESET, lab_up
from lab.designs import find_design
from lab.output.console import err

DESIGN = "feed_ranking"
LOOP_BOUNDS = (
    Bound("drift_noticed_windows", "windows from a shift of tastes to the recorded drift", "", "<= 3", "<= 2"),
    Bound("drift_to_champion_s", "shift of tastes → a new champion serves, untouched", "s", "<= 300", "<= 180"),
    Bound("rollout_s", "a challenger passes the gate → it is the champion", "s"),
    Bound("value_recovered", "attention per session with the new champion / before the shift", "", None, ">= 0.95"),
    Bound("value_without", "the same after the shift, before the new champion", ""),
    Bound("retrain_p99_ratio", "p99 of a request during the retraining / before it", "", "<= 1.5", "<= 1.2"),
    Bound("rollback_s", "a guardrail is crossed → last answer of the bad version", "s", "<= 60", "<= 20"),
    Bound("shadow_p99_ratio", "p99 with every request computed in the shadow / without", "", "<= 1.1", "<= 1.05"),
    Bound("swap_failures", "failed requests in 20 swaps of the release under load", "", "<= 0"),
    Bound("swap_p99_ratio", "p99 of a request during the swaps / before them", "", "<= 2"),
)
PARTS = (
    (measure_swaps, {"swap_failures", "swap_p99_ratio"}),
    (measure_shadow, {"shadow_p99_ratio"}),
    (measure_rollback, {"rollback_s"}),
    (
        measure_whole,
        {
            *("drift_noticed_windows", "drift_to_champion_s", "rollout_s"),
            *("value_recovered", "value_without", "retrain_p99_ratio"),
        },
    ),
)


def measure_loop(only: Sequence[str] | None, rounds: int, home: Path) -> list[Figure]:
    """Measure the figures, in the order of `LOOP_BOUNDS`; the lab's home lies in `home`. Raises `UsageError` for an
    unknown id."""
    bounds = {bound.id: bound for bound in LOOP_BOUNDS}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    wanted = {name for name in bounds if not only or name in only}
    design, found = find_design(DESIGN), dict[str, list[float]]()
    settings = Settings(home=home / "bench-loop", preset=PRESET)
    for measure, names in PARTS:
        if wanted & names:
            err.print(f"measuring {', '.join(sorted(wanted & names))} …")
            _forget_last_run(settings.design_root(design.name))
            with lab_up(design, settings) as lab:
                for name, values in measure(design, lab, rounds).items():
                    found.setdefault(name, []).extend(values)
    return [of_rounds(bounds[name], found[name]) for name in bounds if name in wanted and name in found]


def _forget_last_run(root: Path) -> None:
    """Delete what an earlier run has left of the drift monitor and of its rollout. The builds stay."""
    for name in ("drift", FOLDER):
        shutil.rmtree(root / name, ignore_errors=True)
    rollout_file(root).unlink(missing_ok=True)
