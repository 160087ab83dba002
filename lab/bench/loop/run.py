"""`lab bench loop`: measures the learning loop in a lab of its own, with the preset smoke.

Each part starts a lab with the same builds. A whole loop takes about 15 minutes, another part one to three. Rollback,
shadow and swaps are the same code for all designs, and the feed stands for them. Drifts of all designs are measured on
simulated traffic too, without a lab.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from infra.errors import UsageError
from infra.evaluation.figures import Bound, Figure, of_rounds
from infra.registry.rollout import rollout_file
from infra.serving.release_tally import FOLDER
from infra.settings import Settings
from lab.bench.loop.rollback import measure_rollback
from lab.bench.loop.shadow import measure_shadow
from lab.bench.loop.simulated import SIZES, measure_simulated
from lab.bench.loop.swaps import measure_swaps
from lab.bench.loop.whole import World, measure_whole
from lab.bench.up import PRESET, OwnLab, lab_up
from lab.designs import find_design
from lab.output.console import err

DESIGN = "feed_ranking"
WORLDS = {
    "feed_ranking": World("15", "of tastes", probes=True, is_ranked_anew=True),
    "ctr_prediction": World("40", "of click rates", short="ads_", size=SIZES["ctr_prediction"]),
    "eta_prediction": World("10", "by road works", short="rides_", labels_wait=True),
}
"""The designs whose whole loop is measured. A shift of the ads by the default size needs windows of 13,000 auctions to
be noticed; at this rate a window has 2,400. It changes the click rates of all ads of a user alike, so it moves the
predictions and the prices, and not the order of the ads. The label of a ride comes when it ends, so the loop of rides
takes about an hour."""


def whole_bounds(world: World) -> tuple[Bound, ...]:
    """The figures of a whole loop."""
    short = world.short
    windows, seconds = (("<= 3", "<= 2"), ("<= 300", "<= 180")) if not world.labels_wait else ((), ())
    untouched = f"shift → a new champion serves, untouched, {world.rate} requests a second"
    found = [
        Bound(f"{short}drift_noticed_windows", f"windows from a shift {world.shift} to the drift", "", *windows),
        Bound(f"{short}drift_to_champion_s", untouched, "s", *seconds),
        Bound(f"{short}rollout_s", "a challenger passes the gate → it is the champion", "s"),
    ]
    if world.is_ranked_anew:
        found += [
            Bound(f"{short}value_before", "captured value before the shift", ""),
            Bound(f"{short}value_recovered", "captured value: new champion / before the shift", "", aim=">= 0.95"),
            Bound(f"{short}value_without", "captured value: the old model after the shift / before it", ""),
            Bound(f"{short}value_gain", "captured value after the shift: new champion less old model", ""),
            Bound(f"{short}value_gain_low", "lower end of the interval of `value_gain`", "", ">= 0"),
        ]
    if world.probes:
        text = "p99 of a request during the retraining / before it"
        found.append(Bound(f"{short}retrain_p99_ratio", text, "", "<= 1.5", "<= 1.2"))
    return tuple(found)


SIMULATED = {"feed_ranking": "feed", "ctr_prediction": "ads", "eta_prediction": "rides"}


def simulated_bounds(short: str) -> tuple[Bound, ...]:
    """The figures of simulated traffic; their ids end with `short`."""
    noticed, alarms = (
        f"{short}, simulated: windows from a shift to the drift",
        f"{short}, simulated: windows that alarm",
    )
    return (
        Bound(f"drift_noticed_windows_{short}", noticed, "", "<= 3", "<= 2"),
        Bound(f"drift_false_alarms_{short}", f"{alarms}, of 100 without a shift", "", "<= 5", "<= 2"),
    )


LOOP_BOUNDS = (
    *(bound for short in SIMULATED.values() for bound in simulated_bounds(short)),
    *(bound for world in WORLDS.values() for bound in whole_bounds(world)),
    Bound("rollback_s", "a guardrail is crossed → last answer of the bad version", "s", "<= 60", "<= 20"),
    Bound("shadow_p99_ratio", "p99 with every request computed in the shadow / without", "", "<= 1.1", "<= 1.05"),
    Bound("swap_failures", "failed requests in 20 swaps of the release under load", "", "<= 0"),
    Bound("swap_p99_ratio", "p99 of a request during the swaps / before them", "", "<= 2"),
)
PARTS = (
    (measure_swaps, {"swap_failures", "swap_p99_ratio"}),
    (measure_shadow, {"shadow_p99_ratio"}),
    (measure_rollback, {"rollback_s"}),
)


def measure_loop(only: Sequence[str] | None, rounds: int, home: Path) -> list[Figure]:
    """Measure the figures, in the order of `LOOP_BOUNDS`; the lab's home lies in `home`. Whole loops run once. Raises
    `UsageError` for an unknown id."""
    bounds = {bound.id: bound for bound in LOOP_BOUNDS}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    wanted = {name for name in bounds if not only or name in only}
    found, settings = dict[str, Figure](), Settings(home=home / "bench-loop", preset=PRESET)
    for measure, names in PARTS:
        if wanted & names:
            err.print(f"measuring {', '.join(sorted(wanted & names))} …")
            with _lab(DESIGN, settings) as lab:
                for name, values in measure(find_design(DESIGN), lab, rounds).items():
                    found[name] = of_rounds(bounds[name], values)
    for design, short in SIMULATED.items():
        if wanted & {bound.id for bound in simulated_bounds(short)}:
            err.print(f"measuring drifts of {design} on simulated traffic …")
            for name, values in measure_simulated(find_design(design), settings, rounds).items():
                found[f"{name}_{short}"] = of_rounds(bounds[f"{name}_{short}"], values)
    for design, world in WORLDS.items():
        if wanted & {bound.id for bound in whole_bounds(world)}:
            err.print(f"measuring a whole loop of {design} …")
            with _lab(design, settings) as lab:
                measured = measure_whole(find_design(design), lab, world)
            for name, (value, low, high) in measured.items():
                bound = bounds[world.short + name]
                found[bound.id] = replace(of_rounds(bound, [value]), low=low, high=high)
    return [found[name] for name in bounds if name in wanted and name in found]


@contextmanager
def _lab(name: str, settings: Settings) -> Iterator[OwnLab]:
    """A lab of this design, without what an earlier run has left."""
    design = find_design(name)
    _forget_last_run(settings.design_root(name))
    with lab_up(design, settings) as lab:
        yield lab


def _forget_last_run(root: Path) -> None:
    """Delete what an earlier run has left of the drift monitor and of its rollout. The builds stay."""
    for name in ("drift", FOLDER):
        shutil.rmtree(root / name, ignore_errors=True)
    rollout_file(root).unlink(missing_ok=True)
