"""One whole loop, untouched: simulated users, a shift of their world, a drift, a retraining, a rollout, a champion.

The oracle of the shifted world values the answers to the same requests by the new champion and by the old model. The
old model is asked at the end, after a rollback, when it has read the same live features.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from infra.design import Design
from infra.errors import LabError
from infra.evaluation.experiment import Judge, Score
from infra.settings import REPOSITORY
from infra.telemetry.drift.status import Status, read_status
from infra.telemetry.timeline import Entry, read
from lab.bench.environment import environment
from lab.bench.loop.swaps import Probe
from lab.bench.up import OwnLab
from lab.output.console import err
from lab.services.client import call
from lab.sweeps.open import open_judge

T = TypeVar("T")
Measured = tuple[float, float, float]
"""(value, low, high): an interval, or the value alone, three times"""
USUAL_S, PATIENCE_S = 120.0, 3600.0
Answers = Sequence[Mapping[str, Any]]
CASES = 300
"""requests whose answers the oracle values, each time"""
SOME = 30
"""requests that show which models are in service: a canary divides users, so one answer does not"""
REFRESHED_S = 15.0
"""time after a swap in which the worker pushes the features of active users to the store of the new release; until
then, the model reads features as old as its build"""


@dataclass(frozen=True)
class World:
    """The simulated users of a design: `rate` requests per second. `shift` describes the shift, and `size` is its size
    if that is not the default. Ids of figures begin with `short`. With `probes`, requests beside those of the users
    measure the latency. With `is_ranked_anew`, the best answers change with the shift, and the oracle values them. With
    `labels_wait`, labels come a quarter of an hour after their predictions, so drift and promotion have no bound."""

    rate: str
    shift: str
    short: str = ""
    size: float = 0.0
    probes: bool = False
    is_ranked_anew: bool = False
    labels_wait: bool = False


def measure_whole(design: Design, lab: OwnLab, world: World) -> dict[str, Measured]:
    """The figures of a loop. Those of the retraining and of the rollout are missing if it ended without a new champion;
    the reason is printed. Raises `LabError` if a step of the loop does not happen in time."""
    root = lab.settings.design_root(design.name)
    size = world.size or design.shift.size
    variables = environment(lab.settings.home) | {"LAB_PRESET": lab.settings.preset}

    def run(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lab", *words]
        return subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=subprocess.DEVNULL)

    def entry(kind: str, after_s: float) -> Entry | None:
        rows = [one for one in read(lab.settings, design.name) if one.kind == kind and _s(one) > after_s]
        return rows[0] if rows else None

    judge = open_judge(design, lab.settings)
    questions = [judge.question(case) for case in judge.cases(CASES)]

    def answers(some: slice = slice(None)) -> list[Any]:
        return [call("POST", lab.url + design.ask.path, json=question) for question in questions[some]]

    def is_served(*, old: bool) -> bool:
        """True if the old model answers all of some requests, or none of them."""
        return all((answer["model_version"] == usual[0]["model_version"]) == old for answer in answers(slice(SOME)))

    live = run("live", design.name, "--rate", world.rate, "--url", lab.url)
    probe = Probe(lab.url, design.ask.path)
    try:
        with probe if world.probes else nullcontext():
            _await(lambda: _is_watched(read_status(root)), "the windows before the shift")
            usual, windows = answers(), read_status(root).windows
            run("world", "shift", design.name, "--size", f"{size:g}").wait(60)
            shifted = time.time()
            err.print("the world has shifted")
            drift = _await(lambda: entry("drift", shifted), "the drift")
            err.print(f"drift after {_s(drift) - shifted:.0f} s")
            found = {"drift_noticed_windows": _alone(drift.facts["window"] - windows + 1)}
            retraining = _await(lambda: entry("retraining", shifted), "the retraining")
            verdict = _await(lambda: entry("gate", _s(retraining)), "the verdict of the gate")
            err.print(f"gate: {verdict.text}")
            if world.probes:
                found["retrain_p99_ratio"] = _alone(_ratio(probe, shifted, _s(retraining), _s(verdict)))
            if "is refused" in verdict.text:
                return found
            end = _await(lambda: entry("promotion", _s(verdict)) or entry("rollback", _s(verdict)), "the champion")
            err.print(f"{end.text} ({_s(end) - shifted:.0f} s after the shift)")
            if end.kind == "rollback":
                return found
            _await(lambda: is_served(old=False), "the new champion in service")
            if world.is_ranked_anew:
                time.sleep(REFRESHED_S)
                new = answers()
                run("rollback", design.name, "--reason", "to ask the old model").wait(60)
                _await(lambda: is_served(old=True), "the old model in service")
                time.sleep(REFRESHED_S)
                found |= _values(judge, size, usual, new, answers())
    finally:
        live.terminate()  # a program in the background of a shell may ignore SIGINT
        live.wait(60)
        run("world", "shift", design.name, "--clear").wait(60)
    return found | {
        "drift_to_champion_s": _alone(_s(end) - shifted),
        "rollout_s": _alone(_s(end) - _s(verdict)),
    }


def _values(judge: Judge, size: float, usual: Answers, new: Answers, old: Answers) -> dict[str, Measured]:
    """What the shift costs, what the new champion wins back, and its gain over the old model on the same requests."""
    cases, there = judge.cases(CASES), judge.in_shifted_world(size)
    before = judge.captured_by(cases, usual)
    after, without = (there.captured_by(cases, answers) for answers in (new, old))
    gain = after.difference_from(without)
    return {
        "value_before": (before.value, *before.interval()),
        "value_recovered": _over(after, before),
        "value_without": _over(without, before),
        "value_gain": gain,
        "value_gain_low": _alone(gain[1]),
    }


def _over(one: Score, other: Score) -> Measured:
    change, low, high = one.change_from(other)
    return 1 + change, 1 + low, 1 + high


def _alone(value: float) -> Measured:
    return value, value, value


def _ratio(probe: Probe, shifted: float, began: float, ended: float) -> float:
    """The p99 during a retraining over that of the time before it. The arguments are times of the wall clock."""
    offset = time.time() - time.monotonic()
    usual = probe.p99_ms(shifted - USUAL_S - offset, began - offset)
    return probe.p99_ms(began - offset, ended - offset) / usual


def _is_watched(status: Status) -> bool:
    """True once a window has been compared with a reference that has labels. The label of a ride comes with its end."""
    return status.windows > status.reference and "all" in status.calibration


def _s(entry: Entry) -> float:
    return datetime.fromisoformat(entry.at).timestamp()


def _await(condition: Callable[[], T | None], what: str) -> T:
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise LabError(f"timed out: {what}")
        time.sleep(1.0)
    return found
