"""`lab sweep`: sends the same requests to every setting of some knobs and measures the cost and value of each setting.

Settings alternate request by request, in rotating order, so that a busy moment of the machine affects all of them.
Request-time knobs are set in the request. Each combination of the other knobs gets its own build, next to the build
that serves.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.build.fingerprints import chosen_steps
from infra.build.runner import build
from infra.design import Design, Knob
from infra.errors import UsageError
from infra.evaluation.experiment import Play, Player, Score, Sweep
from infra.settings import Settings
from lab.services.building import run_build
from lab.sweeps.open import open_judge, open_player, progress

WARM_UP = 5
MOST_SETTINGS, MOST_BUILDS = 100, 12
TIMES = ("p50_ms", "p99_ms", "cpu_ms")


@dataclass(frozen=True)
class Setting:
    """One combination of the varied knobs and its measurements. `scores` maps score id -> score."""

    knobs: Mapping[str, float | str]
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    degraded_share: float
    scores: Mapping[str, Score]

    @property
    def label(self) -> str:
        return ", ".join(f"{name}={_plain(value)}" for name, value in self.knobs.items())

    def value(self, axis: str) -> float:
        return float(getattr(self, axis)) if axis in TIMES else self.scores[axis].value

    def spread(self, axis: str) -> tuple[float, float]:
        """95% interval of a score. A time has no interval: both ends equal its value."""
        return (self.value(axis),) * 2 if axis in TIMES else self.scores[axis].interval()

    def row(self) -> dict[str, Any]:
        """One row of the CSV file."""
        columns: dict[str, Any] = {**self.knobs, **{name: round(self.value(name), 3) for name in TIMES}}
        columns["degraded_share"] = round(self.degraded_share, 4)
        for name, score in self.scores.items():
            low, high = score.interval()
            columns |= {name: _short(score.value), f"{name}_low": _short(low), f"{name}_high": _short(high)}
        return columns


def parse_vary(design: Design, settings: Settings, texts: Sequence[str]) -> dict[str, list[float | str]]:
    """Parse `["heavy_top_k=50,200", "index=flat,ivf"]` into checked values.

    Raises `UsageError` for an unknown knob, a malformed text, or a value that the knob does not accept.
    """
    knobs = {knob.name: knob for knob in design.knobs(settings.preset)}
    vary: dict[str, list[float | str]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        if not sign or not values:
            raise UsageError(f"{text!r} is not NAME=VALUE,VALUE", hint="for example: --vary heavy_top_k=50,200,500")
        vary[name] = [_knob(knobs, name).parse(value) for value in values.split(",")]
    return vary


def run_sweep(design: Design, settings: Settings, sweep: Sweep) -> list[Setting]:
    """Measure every setting of the sweep. Raises `UsageError` before any measurement if the sweep is not possible."""
    knobs = {knob.name: knob for knob in design.knobs(settings.preset)}
    combinations = [dict(zip(sweep.vary, values, strict=True)) for values in itertools.product(*sweep.vary.values())]
    _check(design, settings, sweep, knobs, combinations)
    at_build = [_build_knobs(knobs, {**sweep.fixed, **turned}) for turned in combinations]
    players = _players(design, settings, [{}, *at_build])
    in_request = [
        {name: value for name, value in {**sweep.fixed, **turned}.items() if knobs[name].per_request}
        for turned in combinations
    ]
    asked = [(players[_key({})], {n: v for n, v in sweep.fixed.items() if knobs[n].per_request})]
    asked += [(players[_key(turned)], request) for turned, request in zip(at_build, in_request, strict=True)]
    judge = open_judge(design, settings)
    cases = judge.cases(sweep.requests)
    with progress("sweeping") as report:
        plays: list[list[Play]] = [[] for _ in asked]
        for case in cases[:WARM_UP]:
            for player, turned in asked:
                player.play(case, turned)
        for number, case in enumerate(cases):
            for place in range(len(asked)):
                index = (place + number) % len(asked)
                player, turned = asked[index]
                plays[index].append(player.play(case, turned))
            report((number + 1) / len(cases), f"{number + 1} of {len(cases)} questions, {len(combinations)} settings")
    trial = judge.trial(cases, plays[0])
    return [_setting(turned, found, trial.scores(found)) for turned, found in zip(combinations, plays[1:], strict=True)]


def _check(
    design: Design,
    settings: Settings,
    sweep: Sweep,
    knobs: Mapping[str, Knob],
    combinations: Sequence[Mapping[str, Any]],
) -> None:
    read = {stage for step in design.steps for stage in step.config}
    for name in (*sweep.vary, *sweep.fixed):
        if not _knob(knobs, name).per_request and knobs[name].stage not in read:
            raise UsageError(
                f"knob {name} does not change the responses, only how the service runs",
                hint=f"change it in {design.name}/config.py and run: lab load {design.name}",
            )
    if len(combinations) > MOST_SETTINGS:
        raise UsageError(
            f"a sweep has at most {MOST_SETTINGS} settings, not {len(combinations)}", hint="vary fewer values"
        )
    if sweep.needs_option and sweep.needs_option not in {step.option for step in chosen_steps(design, settings)}:
        raise UsageError(
            f"{sweep.name} needs a build with {sweep.needs_option}",
            hint=f"run: lab build {design.name} --with-{sweep.needs_option}",
        )


def _players(design: Design, settings: Settings, variants: Sequence[Mapping[str, Any]]) -> dict[str, Player]:
    """Open one player per distinct variant, and build the missing variants."""
    distinct = {_key(turned): turned for turned in variants}
    if len(distinct) > MOST_BUILDS:
        raise UsageError(f"a sweep has at most {MOST_BUILDS} builds, not {len(distinct)}", hint="vary fewer values")
    run_build(design, settings)
    players = {}
    for number, (key, turned) in enumerate(distinct.items()):
        with progress(f"variant {number + 1} of {len(distinct)}") as report:
            report(0.0, key or "the build that serves")
            runs = build(design, settings, turned=turned)
            report(1.0, key or "the build that serves")
        players[key] = open_player(design, settings, runs[-1].path)
    return players


def _build_knobs(knobs: Mapping[str, Knob], turned: Mapping[str, Any]) -> dict[str, Any]:
    """Select the knobs that need a separate build: not settable per request, and not at their default."""
    return {
        name: value for name, value in turned.items() if not knobs[name].per_request and value != knobs[name].default
    }


def _setting(knobs: Mapping[str, float | str], plays: Sequence[Play], scores: Sequence[Score]) -> Setting:
    wall = np.array([play.wall_ms for play in plays])
    return Setting(
        knobs,
        p50_ms=float(np.quantile(wall, 0.5)),
        p99_ms=float(np.quantile(wall, 0.99)),
        cpu_ms=float(np.mean([play.cpu_ms for play in plays])),
        degraded_share=float(np.mean([bool(play.degraded) for play in plays])),
        scores={score.id: score for score in scores},
    )


def _knob(knobs: Mapping[str, Knob], name: str) -> Knob:
    if name not in knobs:
        raise UsageError(f"there is no knob {name!r}", hint=f"choose one of: {', '.join(knobs)}")
    return knobs[name]


def _key(turned: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(turned.items()))


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _short(value: float) -> float:
    return float(f"{value:.5g}")
