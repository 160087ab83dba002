"""`lab bench stream`: measures the event stream in the embedded setting. It uses separate brokers, labs and files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from infra.errors import UsageError
from infra.evaluation.figures import Bound, Figure, of_rounds
from infra.settings import Settings
from lab.bench.broker import own_broker
from lab.bench.stream.kills import KillBench
from lab.bench.stream.serving import Pair, ServingBench, ratio_of_medians
from lab.bench.stream.speed import SpeedBench
from lab.bench.up import PRESET, own_lab
from lab.designs import find_design
from lab.output.console import err

NAME, DESIGN = "stream", "feed_ranking"
STREAM_BOUNDS = (
    Bound("post_visible_p99_s", "p99 of publish → candidate for its followers, embedded", "s", "<= 5", "<= 1"),
    Bound(
        "consumer_over_bare",
        "messages per second: the lab's consumer without effects / a bare kafka-python loop, same messages",
        "×",
        ">= 0.5",
        ">= 0.8",
    ),
    Bound(
        "serving_while_down",
        "p99 of a request at 30% of capacity with the broker down / up, in pairs",
        "×",
        "<= 1.3",
        "<= 1.1",
    ),
    Bound("serving_while_killed", "the same where the broker's process is killed, twice in ten seconds", "×"),
    Bound(
        "lost_acked",
        "acknowledged messages without a trace, the reader killed between effect and commit; duplicates, 1% poison",
        "",
        "<= 0",
    ),
    Bound("double_effects", "events that are in the files twice after the same", "", "<= 0"),
)
FEWEST_PAIRS = 6

Found = dict[str, Figure]


def measure_stream(only: Sequence[str] | None, rounds: int, settings: Settings) -> list[Figure]:
    """Measure the figures and return them in the order of `STREAM_BOUNDS`. Raises `UsageError` for an unknown id."""
    bounds = {bound.id: bound for bound in STREAM_BOUNDS}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    wanted, found = {name for name in bounds if not only or name in only}, Found()
    parts: Mapping[Callable[..., None], Set[str]] = {
        _speed: {"consumer_over_bare"},
        _kills: {"lost_acked", "double_effects"},
        _serving: {"post_visible_p99_s", "serving_while_down", "serving_while_killed"},
    }
    for part, ids in parts.items():
        if wanted & ids:
            part(bounds, wanted, rounds, settings, found)
    return [found[name] for name in bounds if name in wanted]


def worst(bound: Bound, rounds: Sequence[float]) -> Figure:
    """Return the figure of an event that must never happen: its value is the worst round."""
    return Figure(bound.id, bound.description, max(rounds), min(rounds), max(rounds), bound.unit, bound.must, bound.aim)


def of_pairs(bound: Bound, pairs: Sequence[Pair]) -> Figure:
    value, low, high = ratio_of_medians(pairs)
    return Figure(bound.id, bound.description, value, low, high, bound.unit, bound.must, bound.aim)


def _speed(bounds: Mapping[str, Bound], _: Set[str], rounds: int, __: Settings, found: Found) -> None:
    name = "consumer_over_bare"
    err.print("reading the same messages with and without the lab …")
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as home, own_broker(_own(home)) as address:
        speed = SpeedBench(address)
        speed.fill()
        values = [speed.round() for _ in range(rounds + 1)][1:]  # the first round warms up
    found[name] = of_rounds(bounds[name], values)


def _kills(bounds: Mapping[str, Bound], _: Set[str], rounds: int, __: Settings, found: Found) -> None:
    runs = []
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as home, own_broker(_own(home)) as address:
        for number in range(rounds):
            err.print(f"killing readers, {number + 1} of {rounds} …")
            runs.append(KillBench(address, Path(home), number).run())
    found["lost_acked"] = worst(bounds["lost_acked"], [float(run.lost) for run in runs])
    found["double_effects"] = worst(bounds["double_effects"], [float(run.doubled) for run in runs])


def _serving(bounds: Mapping[str, Bound], wanted: Set[str], rounds: int, settings: Settings, found: Found) -> None:
    design = find_design(DESIGN)
    err.print(f"starting a lab in {settings.home / 'bench'} …")
    with own_lab(design, settings) as lab:
        serving = ServingBench(design, lab)
        if (name := "post_visible_p99_s") in wanted:
            err.print("publishing …")
            values = [float(np.quantile(serving.visible_s(number), 0.99)) for number in range(rounds)]
            found[name] = of_rounds(bounds[name], values)
        if wanted & {"serving_while_down", "serving_while_killed"}:
            err.print("serving with the broker up and down, in turns …")
            pairs = serving.pairs(max(FEWEST_PAIRS, 2 * rounds))
            found["serving_while_down"] = of_pairs(bounds["serving_while_down"], pairs)
            killed = [pair.ratio for pair in pairs if pair.is_killed]
            found["serving_while_killed"] = of_rounds(bounds["serving_while_killed"], killed)


def _own(home: str) -> Settings:
    return Settings(home=Path(home), preset=PRESET)
